/* What the files that write the system call filter share: seccomp.c, which numbers have which answer, seccomp-requests.c, which
 * commands and flags within a call are refused, and seccomp-sockets.c, which sockets. */
#ifndef COHORT_SECCOMP_EMIT_H
#define COHORT_SECCOMP_EMIT_H

#include "base.h"

void emit(uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t operand);
void emit_return(uint32_t value);
void emit_refusal(int error_number);
/* Of what is worth knowing of: asks the listener, where there is one. */
void emit_notified_refusal(void);
/* The same for a whole call, but for the truth check. */
void emit_told_refusal(void);
/* The low half of an argument: the kernel's parameter is 32 bits wide in all that we compare. */
void emit_load_argument(unsigned int index);

/* seccomp-modes.c; which argument is the mode, or for open the flags before it */
void emit_chmod(unsigned int mode_argument);
void emit_open(unsigned int flags_argument);
void emit_mknod(unsigned int mode_argument);

/* seccomp-requests.c */
void emit_ioctl(void);
void emit_fcntl(void);
void emit_prctl(void);
void emit_own_filter(void);
void emit_madvise(void);
void emit_prlimit(void);
/* Refuses when one of the bits is set in the argument. */
void emit_refused_bits(unsigned int argument, uint32_t bits, int error_number);

void emit_socketpair(void);
void emit_socket_tcp(void);
void emit_setsockopt(void);

#endif
