/* The two filters that a sandbox gets last, and that all its processes inherit. */
#ifndef COHORT_CONFINE_H
#define COHORT_CONFINE_H

#include "base.h"

/* Proxied: a sandbox's with TCP. The codec's: as a sandbox's, but it may accept connections, and may neither execute nor make processes. */
enum filter_profile { FILTER_SANDBOX, FILTER_PROXIED, FILTER_CODEC, FILTER_PROFILES };

/* Builds a filter; once, before its first use. */
void seccomp_prepare(enum filter_profile profile);
/* Needs no_new_privs. -1 with errno. */
int seccomp_apply(enum filter_profile profile);
/* The same for a sandbox's filter; returns the listener that its notified refusals ask, with CLOEXEC. */
int seccomp_apply_listening(enum filter_profile profile);
/* Sixth argument of a socket() that is to be refused like any other, but without asking the listener: the truth check's. */
#define FILTER_QUIETLY 0x636f6871u

/* The ABI of this kernel's Landlock, 0 when there is none. */
int landlock_abi(void);
/* One domain for the whole sandbox; paths are those of the calling process. -1 with errno. */
int landlock_apply(bool may_use_tcp);
/* Readable by mode, outside every rule: opening it must give EACCES, and only Landlock can be the cause. */
#define LANDLOCK_CANARY "/run/landlock-canary"

#endif
