/* faulty_backend.h - the cpu backend, but its n-th operator call fails, or does not come back.
 *
 * One table and one fault for the whole program, since a table has no place for more; calls of
 * every backend that was opened through it count together. A test arms it, runs, and disarms it. */
#ifndef MILL_TESTS_SUPPORT_FAULTY_BACKEND_H
#define MILL_TESTS_SUPPORT_FAULTY_BACKEND_H

#include "kernels/backend.h"

enum faulty_kind { FAULTY_FAILS, FAULTY_HANGS, FAULTY_PAUSES };

const struct mill_backend_ops *faulty_backend_ops(void);
/* From now on the n-th call of an operator (from 1) fails, and every one after it; or hangs until
 * disarmed and then fails; or hangs until disarmed and then is carried out. */
void faulty_backend_arm(enum faulty_kind kind, long n);
void faulty_backend_disarm(void);
/* Whether a call hangs now. */
bool faulty_backend_hangs(void);
/* Operators called since the last arm or disarm. */
long faulty_backend_calls(void);

#endif
