/* lockdown.c - see lockdown.h. Connected sockets come from accept and listening ones cannot
 * connect, so who cannot make a socket cannot call anybody. */
#include "runtime/server/lockdown.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static int add_rules(scmp_filter_ctx filter) {
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    return result;
}

mill_status mill_lockdown(struct mill_error *err) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter ? add_rules(filter) : -ENOMEM;
    if (result == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        result = -errno;
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result == 0 ? MILL_OK
                       : mill_fail(err, MILL_E_UNSUPPORTED, "seccomp: %s", strerror(-result));
}
