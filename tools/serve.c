/* serve.c - `sparkmill serve`: options and signals around runtime/server.
 *
 * Weights are loaded on a thread of their own, so that this one can answer signals meanwhile:
 * TERM or INT drains and ends, a second one ends at once, HUP reads keys and voices again. */
#include "runtime/base/clock.h"
#include "runtime/server/listener.h"
#include "runtime/server/lockdown.h"
#include "runtime/server/server.h"
#include "tools/cache_folder.h"
#include "tools/command.h"
#include "tools/demo_voice.h"
#include "tools/notify.h"
#include "tools/user_folders.h"

#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char command[] = "serve";

enum { PRINTED_BYTES = 1 << 16, HELP_COLUMNS = 80, LOOK_MS = 200, MAPPED_BYTES = 1 << 18 };
#define TICK_S 1.0 /* how often files are looked at, and health */

struct serving {
    struct mill_server_options options;
    const char *config;
    bool help, print_config;
    char *cache, *voices, *state;           /* owned: the user's folders */
    char demo_voice[MILL_DEMO_VOICE_BYTES]; /* where no model was given */
    struct mill_log log;
    struct mill_server *server;
    int notify;
    sigset_t signals;
    pthread_t starter;
    atomic_int started; /* 0 not yet, 1 done, -1 failed */
    mill_status status;
    struct mill_error err;
    int told_tenths; /* of the weights */
};

/* ------------------------------------------------------------------ options */

static void print_help(void) {
    puts("Usage: sparkmill serve [OPTION]...\n"
         "Serve speech over HTTP to OpenAI's and FlashTTS' clients; see docs/server.md.\n\n"
         "  --config FILE    options as lines of `name: value`\n"
         "  --print-config   print all options, what they come to and mean, as such a file\n\n"
         "Each option is a flag --some-name VALUE, a variable SPARKMILL_SOME_NAME and a\n"
         "line some_name: VALUE of the file; the first of these that is there counts.\n");
    struct mill_server_option_info info;
    for (int i = 0; mill_server_options_info(i, &info); i++)
        if (!info.is_limit)
            printf("  %-16s %s\n", info.name, info.help);
    printf("\nLimits, which --print-config explains:");
    for (int i = 0, column = HELP_COLUMNS; mill_server_options_info(i, &info); i++) {
        if (!info.is_limit)
            continue;
        int n = (int)strlen(info.name) + 1;
        column += n;
        if (column > HELP_COLUMNS) {
            printf("\n ");
            column = n + 1;
        }
        printf(" %s", info.name);
    }
    puts("");
}

/* getopt's table, from the server's. A switch may stand alone. */
static int fill_table(struct option table[MILL_SERVER_MAX_OPTIONS + 4],
                      char names[MILL_SERVER_MAX_OPTIONS][64]) {
    struct mill_server_option_info info;
    int n = 0;
    for (; mill_server_options_info(n, &info); n++) {
        snprintf(names[n], 64, "%s", info.name);
        for (char *c = names[n]; *c; c++)
            *c = *c == '_' ? '-' : *c;
        table[n] = (struct option){names[n], info.is_switch ? optional_argument : required_argument,
                                   NULL, 256 + n};
    }
    table[n] = (struct option){"config", required_argument, NULL, 'c'};
    table[n + 1] = (struct option){"print-config", no_argument, NULL, 'p'};
    table[n + 2] = (struct option){"help", no_argument, NULL, 'h'};
    table[n + 3] = (struct option){0};
    return n;
}

static int read_flags(struct serving *s, int argc, char **argv) {
    struct option table[MILL_SERVER_MAX_OPTIONS + 4];
    char names[MILL_SERVER_MAX_OPTIONS][64];
    struct mill_error err;
    fill_table(table, names);
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, ":h", table, NULL)) != -1;) {
        if (c == ':')
            return mill_command_usage(command, "option '%s' needs a value", argv[optind - 1]);
        if (c == '?')
            return mill_command_usage(command, "unknown option '%s'", argv[optind - 1]);
        s->help |= c == 'h';
        s->print_config |= c == 'p';
        s->config = c == 'c' ? optarg : s->config;
        if (c >= 256 &&
            mill_server_options_set(&s->options, names[c - 256], optarg ? optarg : "true",
                                    MILL_SOURCE_FLAG, &err) < 0)
            return mill_command_usage(command, "--%s", err.text);
    }
    if (optind < argc)
        return mill_command_usage(command, "'%s' is no option", argv[optind]);
    return MILL_EXIT_OK;
}

/* Where the user keeps things, when nothing else was said. */
static void fill_folders(struct serving *s) {
    struct mill_server_options *o = &s->options;
    s->cache = o->cache[0] ? NULL : mill_cache_folder();
    s->voices = o->voices[0] ? NULL : mill_voices_folder(NULL);
    s->state = o->state[0] ? NULL : mill_state_folder();
    o->cache = s->cache ? s->cache : o->cache;
    o->voices = s->voices ? s->voices : o->voices;
    o->state = s->state ? s->state : o->state;
}

static int read_options(struct serving *s, int argc, char **argv) {
    struct mill_error err;
    mill_server_options_init(&s->options);
    int result = read_flags(s, argc, argv);
    if (result != MILL_EXIT_OK || s->help)
        return result;
    const char *config = s->config ? s->config : getenv("SPARKMILL_CONFIG");
    mill_status status =
        config ? mill_server_options_read_file(&s->options, config, &err) : MILL_OK;
    if (status == MILL_OK)
        status = mill_server_options_read_variables(&s->options, getenv, &err);
    fill_folders(s);
    if (status == MILL_OK && !s->print_config &&
        mill_demo_voice_stand_in(command, &s->options.model, s->demo_voice) != MILL_GO_ON)
        return MILL_EXIT_USAGE;
    if (status == MILL_OK && !s->print_config)
        status = mill_server_options_check(&s->options, &err);
    return status < 0 ? mill_command_fail(command, status, &err) : MILL_EXIT_OK;
}

static int print_config(const struct serving *s) {
    struct mill_buffer text;
    struct mill_error err;
    mill_buffer_init(&text, PRINTED_BYTES);
    mill_status status = mill_server_options_print(&s->options, &text, &err);
    if (status == MILL_OK)
        fwrite(text.data, 1, text.size, stdout);
    mill_buffer_deinit(&text);
    return status < 0 ? mill_command_fail(command, status, &err) : MILL_EXIT_OK;
}

/* ------------------------------------------------------------------ the log */

/* One write a line: lines of several threads do not mix. */
static void write_line(void *context, const char *line) {
    char text[1200], time_text[32];
    struct timespec now;
    struct tm parts;
    (void)context;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &parts);
    int n =
        snprintf(text, sizeof text, "time=%s.%03ldZ %s\n", time_text, now.tv_nsec / 1000000, line);
    if (n >= (int)sizeof text) {
        n = sizeof text - 1;
        text[n - 1] = '\n';
    }
    (void)!write(STDERR_FILENO, text, (size_t)n);
}

static void tell_weights(void *context, size_t done_bytes, size_t all_bytes) {
    struct serving *s = context;
    int tenths = all_bytes > 0 ? (int)(10.0 * (double)done_bytes / (double)all_bytes) : 0;
    if (tenths == s->told_tenths)
        return;
    s->told_tenths = tenths;
    mill_log_event(&s->log, "event=loading percent=%d", 10 * tenths);
    mill_notify_send(s->notify, "STATUS=loading the model\nEXTEND_TIMEOUT_USEC=60000000");
}

/* ------------------------------------------------------------------ running */

static void *start(void *context) {
    struct serving *s = context;
    const struct mill_engine_progress progress = {.update = tell_weights, .context = s};
    s->status = mill_server_start(s->server, &progress, &s->err);
    atomic_store(&s->started, s->status < 0 ? -1 : 1);
    return NULL;
}

/* The next signal; 0 when none came for a while. */
static int wait_for_signal(const struct serving *s) {
    const struct timespec time = {.tv_nsec = LOOK_MS * 1000000L};
    int number = sigtimedwait(&s->signals, NULL, &time);
    return number > 0 ? number : 0;
}

static mill_status become_ready(struct serving *s, double since_s) {
    pthread_join(s->starter, NULL);
    if (s->status < 0)
        return s->status;
    struct mill_error err;
    if (mill_lockdown(&err) < 0)
        mill_log_event(&s->log, "event=not_locked_down error=\"%s\"", err.text);
    mill_log_event(&s->log, "event=ready seconds=%.2f", mill_clock_seconds() - since_s);
    mill_notify_send(s->notify, "READY=1\nSTATUS=serving");
    return MILL_OK;
}

/* Until it is asked to stop. */
static mill_status serve(struct serving *s) {
    double since_s = mill_clock_seconds(), ticked_s = since_s, told_s = since_s;
    double watchdog_s = mill_notify_watchdog_s();
    bool ready = false;
    for (;;) {
        int number = wait_for_signal(s);
        if (number == SIGHUP)
            mill_server_reload(s->server);
        else if (number)
            return MILL_OK;
        double now_s = mill_clock_seconds();
        if (!ready && atomic_load(&s->started)) {
            ready = true;
            mill_status status = become_ready(s, since_s);
            if (status < 0)
                return status;
        }
        if (ready && now_s - ticked_s > TICK_S) {
            ticked_s = now_s;
            if (mill_server_tick(s->server) && watchdog_s > 0 && now_s - told_s > watchdog_s) {
                told_s = now_s;
                mill_notify_send(s->notify, "WATCHDOG=1");
            }
        }
    }
}

static void drain(struct serving *s) {
    double until_s = mill_clock_seconds() + s->options.drain_timeout_s;
    char message[80];
    snprintf(message, sizeof message, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%.0f",
             1e6 * (s->options.drain_timeout_s + 10));
    mill_notify_send(s->notify, message);
    mill_log_event(&s->log, "event=draining timeout_s=%g", s->options.drain_timeout_s);
    const char *end = "done";
    while (!mill_server_drain(s->server)) {
        int number = wait_for_signal(s);
        if (number == SIGTERM || number == SIGINT)
            end = "second signal";
        else if (mill_clock_seconds() > until_s)
            end = "timeout";
        else
            continue;
        break;
    }
    mill_log_event(&s->log, "event=stopping cause=\"%s\"", end);
}

static mill_status open_server(struct serving *s, struct mill_error *err) {
    const struct mill_server_options *o = &s->options;
    char address[MILL_ADDRESS_BYTES];
    int listener = mill_notify_listener();
    if (!o->state[0] || !o->voices[0])
        return mill_fail(err, MILL_E_INPUT,
                         "neither HOME nor the XDG variables are set: say --voices DIR and --state "
                         "DIR");
    if (listener >= 0)
        MILL_TRY(mill_listener_take(listener, err));
    else
        MILL_TRY(mill_listener_open(&listener, o->host, (int)o->port, err));
    mill_listener_print(listener, address);
    MILL_TRY(mill_server_open(&s->server, o, listener, &s->log, err));
    mill_log_event(&s->log, "event=listening address=%s tls=%d keys=%d", address,
                   o->tls_cert[0] != 0, o->keys[0] != 0);
    return MILL_OK;
}

static mill_status run(struct serving *s, struct mill_error *err) {
    MILL_TRY(open_server(s, err));
    if (pthread_create(&s->starter, NULL, start, s) != 0)
        return mill_fail(err, MILL_E_MEMORY, "no thread");
    mill_status status = serve(s);
    if (status == MILL_OK && !atomic_load(&s->started)) {
        mill_log_event(&s->log, "event=stopping cause=\"signal while loading\"");
        exit(MILL_EXIT_OK); /* nothing is lost, and loading cannot be broken off */
    }
    if (status < 0)
        *err = s->err;
    else
        drain(s);
    return status;
}

/* Signals are looked at by this thread alone, and inherited as blocked by all others; files are
 * nobody else's; sockets may be many; what a stream keeps for its reader costs memory only as far
 * as it is filled, and goes back when it is freed. */
static void settle_process(struct serving *s) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGTERM);
    sigaddset(&s->signals, SIGINT);
    sigaddset(&s->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
    umask(077);
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int mill_command_serve(int argc, char **argv) {
    struct serving s = {.log = {.write = write_line}, .notify = -1};
    struct mill_error err = {""};
    int result = read_options(&s, argc, argv);
    if (result == MILL_EXIT_OK && s.help)
        print_help();
    else if (result == MILL_EXIT_OK && s.print_config)
        result = print_config(&s);
    else if (result == MILL_EXIT_OK) {
        settle_process(&s);
        s.notify = mill_notify_open();
        mill_status status = run(&s, &err);
        if (status < 0)
            result = mill_command_fail(command, status, &err);
        mill_server_close(s.server);
        mill_notify_close(s.notify);
    }
    mill_server_options_deinit(&s.options);
    free(s.cache);
    free(s.voices);
    free(s.state);
    return result;
}
