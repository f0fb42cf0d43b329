/* connections.c - see connections.h. A descriptor finds its connection through a table under the
 * lock: an event that was fetched before a connection ended finds another generation, or nothing.
 */
#include "runtime/server/connections.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_MS = 200, MAX_EVENTS = 64, MAX_FD = 1 << 20 };

/* For what a client that has left had sent whole: then its request is taken up. */
#define GONE_S 1.0

enum phase { HEADERS, IDLE, BODY, WORK, REPLY };

struct mill_connection {
    struct mill_connections *all;
    int fd;
    uint32_t generation;
    enum phase phase;
    double since_s; /* of the phase */
    uint64_t body_bytes;
    void *call;         /* borrowed: whom to tell; WORK and REPLY */
    double gone_s;      /* when the other end was seen to have left; 0 = it has not */
    bool told, evicted; /* the call knows that it has; shut down by us */
    /* A stream's client: since when its bytes lie with it (0 = not), how long others did before,
     * and how much sound they were. */
    double turn_s, turns_s, audio_s;
};

struct mill_connections {
    struct mill_connection_limits limits;
    int epoll, waker;
    pthread_t thread;
    pthread_mutex_t lock;
    bool closing, draining;
    struct mill_connection **by_fd; /* owned: [n_fds] */
    size_t n_fds, n;
    uint32_t generation;
    uint64_t n_evicted;
};

/* ------------------------------------------------------------------ under the lock */

static void tell(struct mill_connection *connection) {
    if (!connection->call || connection->told)
        return;
    connection->told = true;
    connection->all->limits.leave(connection->call);
}

static void hang_up(struct mill_connection *connection) {
    shutdown(connection->fd, SHUT_RDWR);
    connection->evicted = true;
    connection->gone_s = connection->gone_s > 0 ? connection->gone_s : mill_clock_seconds();
    tell(connection);
}

static bool is_overdue(const struct mill_connection *connection, double now_s) {
    const struct mill_connection_limits *limits = &connection->all->limits;
    double time_s = now_s - connection->since_s;
    if (connection->gone_s > 0 && connection->phase != WORK && connection->phase != REPLY)
        return now_s - connection->gone_s > GONE_S;
    switch (connection->phase) {
    case HEADERS:
        return time_s > limits->header_timeout_s;
    case IDLE:
        return time_s > limits->idle_timeout_s;
    case BODY:
        return time_s >
               limits->body_timeout_s + (double)connection->body_bytes / limits->min_body_rate;
    case REPLY:
        return time_s > limits->slow_client_s;
    case WORK:
        break;
    }
    double lag_s = connection->turns_s + (connection->turn_s > 0 ? now_s - connection->turn_s : 0);
    return lag_s > limits->slow_client_s + connection->audio_s;
}

static void look_at_all(struct mill_connections *all) {
    double now_s = mill_clock_seconds();
    size_t n_seen = 0;
    for (size_t fd = 0; fd < all->n_fds && n_seen < all->n; fd++) {
        struct mill_connection *connection = all->by_fd[fd];
        if (!connection)
            continue;
        n_seen++;
        if (!connection->evicted && is_overdue(connection, now_s)) {
            all->n_evicted++;
            hang_up(connection);
        }
    }
}

/* A client that has only finished writing looks the same as one that has left, until one writes to
 * it; we take it as gone once its request is there. */
static void look_at_event(struct mill_connections *all, const struct epoll_event *event) {
    size_t fd = (uint32_t)event->data.u64;
    struct mill_connection *connection = fd < all->n_fds ? all->by_fd[fd] : NULL;
    if (!connection || connection->generation != event->data.u64 >> 32)
        return;
    connection->gone_s = mill_clock_seconds();
    tell(connection);
}

static void *watch(void *context) {
    struct mill_connections *all = context;
    struct epoll_event events[MAX_EVENTS];
    double looked_s = 0;
    for (bool closing = false; !closing;) {
        int n = epoll_wait(all->epoll, events, MAX_EVENTS, LOOK_MS);
        pthread_mutex_lock(&all->lock);
        for (int i = 0; i < n; i++)
            look_at_event(all, &events[i]);
        if (mill_clock_seconds() - looked_s > 1e-3 * LOOK_MS) {
            looked_s = mill_clock_seconds();
            look_at_all(all);
        }
        closing = all->closing;
        pthread_mutex_unlock(&all->lock);
    }
    return NULL;
}

/* ------------------------------------------------------------------ open, close */

mill_status mill_connections_open(struct mill_connections **out,
                                  const struct mill_connection_limits *limits,
                                  struct mill_error *err) {
    struct mill_connections *all = mill_alloc_array(1, sizeof *all);
    if (!all)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    all->limits = *limits;
    pthread_mutex_init(&all->lock, NULL);
    all->epoll = epoll_create1(EPOLL_CLOEXEC);
    all->waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT32_MAX};
    if (all->epoll < 0 || all->waker < 0 ||
        epoll_ctl(all->epoll, EPOLL_CTL_ADD, all->waker, &event) != 0 ||
        pthread_create(&all->thread, NULL, watch, all) != 0) {
        mill_fail(err, MILL_E_IO, "connections cannot be watched: %s", strerror(errno));
        close(all->epoll);
        close(all->waker);
        free(all);
        return MILL_E_IO;
    }
    *out = all;
    return MILL_OK;
}

void mill_connections_close(struct mill_connections *connections) {
    if (!connections)
        return;
    pthread_mutex_lock(&connections->lock);
    connections->closing = true;
    pthread_mutex_unlock(&connections->lock);
    eventfd_write(connections->waker, 1);
    pthread_join(connections->thread, NULL);
    close(connections->epoll);
    close(connections->waker);
    pthread_mutex_destroy(&connections->lock);
    free(connections->by_fd);
    free(connections);
}

size_t mill_connections_count(struct mill_connections *connections) {
    pthread_mutex_lock(&connections->lock);
    size_t n = connections->n;
    pthread_mutex_unlock(&connections->lock);
    return n;
}

uint64_t mill_connections_count_evicted(struct mill_connections *connections) {
    pthread_mutex_lock(&connections->lock);
    uint64_t n = connections->n_evicted;
    pthread_mutex_unlock(&connections->lock);
    return n;
}

static bool waits_for_request(const struct mill_connection *connection) {
    return connection->phase == HEADERS || connection->phase == IDLE;
}

static void hang_up_some(struct mill_connections *all, bool only_waiting) {
    for (size_t fd = 0; fd < all->n_fds; fd++)
        if (all->by_fd[fd] && (!only_waiting || waits_for_request(all->by_fd[fd])))
            hang_up(all->by_fd[fd]);
}

void mill_connections_drain(struct mill_connections *connections) {
    pthread_mutex_lock(&connections->lock);
    connections->draining = true;
    hang_up_some(connections, true);
    pthread_mutex_unlock(&connections->lock);
}

void mill_connections_hang_up(struct mill_connections *connections) {
    pthread_mutex_lock(&connections->lock);
    hang_up_some(connections, false);
    pthread_mutex_unlock(&connections->lock);
}

/* ------------------------------------------------------------------ one connection */

/* Room in the table for a descriptor. */
static bool make_room(struct mill_connections *all, size_t fd) {
    if (fd < all->n_fds)
        return true;
    size_t n = fd < 512 ? 1024 : 2 * (fd + 1);
    struct mill_connection **by_fd =
        fd < MAX_FD ? realloc(all->by_fd, n * sizeof(struct mill_connection *)) : NULL;
    if (!by_fd)
        return false;
    memset(by_fd + all->n_fds, 0, (n - all->n_fds) * sizeof(struct mill_connection *));
    all->by_fd = by_fd;
    all->n_fds = n;
    return true;
}

struct mill_connection *mill_connection_new(struct mill_connections *all, int fd) {
    struct mill_connection *connection = mill_alloc_array(1, sizeof *connection);
    if (!connection)
        return NULL;
    *connection = (struct mill_connection){
        .all = all, .fd = fd, .phase = HEADERS, .since_s = mill_clock_seconds()};
    pthread_mutex_lock(&all->lock);
    bool room = make_room(all, (size_t)fd);
    if (room) {
        connection->generation = ++all->generation;
        all->by_fd[fd] = connection;
        all->n++;
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET,
                                    .data.u64 =
                                        (uint64_t)connection->generation << 32 | (uint32_t)fd};
        epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event);
        if (all->draining)
            hang_up(connection);
    }
    pthread_mutex_unlock(&all->lock);
    if (!room) {
        free(connection);
        return NULL;
    }
    return connection;
}

void mill_connection_free(struct mill_connection *connection) {
    struct mill_connections *all = connection->all;
    pthread_mutex_lock(&all->lock);
    epoll_ctl(all->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    all->by_fd[connection->fd] = NULL;
    all->n--;
    pthread_mutex_unlock(&all->lock);
    free(connection);
}

static void enter(struct mill_connection *connection, enum phase phase) {
    connection->phase = phase;
    connection->since_s = mill_clock_seconds();
}

void mill_connection_begin_body(struct mill_connection *connection) {
    pthread_mutex_lock(&connection->all->lock);
    connection->body_bytes = 0;
    enter(connection, BODY);
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_count_body(struct mill_connection *connection, size_t bytes) {
    pthread_mutex_lock(&connection->all->lock);
    connection->body_bytes += bytes;
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_begin_work(struct mill_connection *connection, void *call) {
    pthread_mutex_lock(&connection->all->lock);
    connection->call = call;
    connection->told = false;
    connection->turn_s = connection->turns_s = connection->audio_s = 0;
    enter(connection, WORK);
    if (connection->gone_s > 0)
        tell(connection);
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_begin_reply(struct mill_connection *connection) {
    pthread_mutex_lock(&connection->all->lock);
    enter(connection, REPLY);
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_end(struct mill_connection *connection) {
    pthread_mutex_lock(&connection->all->lock);
    connection->call = NULL;
    enter(connection, IDLE);
    if (connection->all->draining)
        hang_up(connection);
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_client_turn(struct mill_connection *connection, bool its_turn) {
    double now_s = mill_clock_seconds();
    pthread_mutex_lock(&connection->all->lock);
    if (connection->turn_s > 0)
        connection->turns_s += now_s - connection->turn_s;
    connection->turn_s = its_turn ? now_s : 0;
    pthread_mutex_unlock(&connection->all->lock);
}

void mill_connection_count_audio(struct mill_connection *connection, double seconds) {
    pthread_mutex_lock(&connection->all->lock);
    connection->audio_s += seconds;
    pthread_mutex_unlock(&connection->all->lock);
}
