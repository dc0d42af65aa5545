/* The two filters that a sandbox gets last, and that all its processes inherit. */
#ifndef COHORT_CONFINE_H
#define COHORT_CONFINE_H

#include "base.h"

/* Builds the filter of a sandbox; once, before the first. */
void seccomp_prepare(void);
/* Needs no_new_privs. -1 with errno. */
int seccomp_apply(void);

/* The ABI of this kernel's Landlock, 0 when there is none. */
int landlock_abi(void);
/* One domain for the sandbox whose home is given; paths are those of the calling process. -1 with errno. */
int landlock_apply(const char *home);
/* Readable by mode, outside every rule: opening it must give EACCES, and only Landlock can be the cause. */
#define LANDLOCK_CANARY "/run/landlock-canary"

#endif
