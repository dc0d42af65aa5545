/* The two filters that a sandbox gets last, and that all its processes inherit. */
#ifndef COHORT_CONFINE_H
#define COHORT_CONFINE_H

#include "base.h"

/* The codec's: as a sandbox's, but it may accept connections, and may neither execute nor make processes. */
enum filter_profile { FILTER_SANDBOX, FILTER_CODEC };

/* Builds the filter; once, before the first use. */
void seccomp_prepare(enum filter_profile profile);
/* Needs no_new_privs. -1 with errno. */
int seccomp_apply(void);

/* The ABI of this kernel's Landlock, 0 when there is none. */
int landlock_abi(void);
/* One domain for the sandbox whose home is given; paths are those of the calling process. -1 with errno. */
int landlock_apply(const char *home);
/* Readable by mode, outside every rule: opening it must give EACCES, and only Landlock can be the cause. */
#define LANDLOCK_CANARY "/run/landlock-canary"

#endif
