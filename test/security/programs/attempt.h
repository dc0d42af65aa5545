/* Ways out of a sandbox that take more than one system call. Each returns -1 with errno for what refused it, or what it got. */
#ifndef COHORT_ATTEMPT_H
#define COHORT_ATTEMPT_H

#include <stddef.h>

struct attempt {
	const char *name;
	long (*run)(char **arguments);
};

extern const struct attempt file_attempts[], process_attempts[], kernel_attempts[];

/* Every call was allowed, and yet nothing was gained: said instead of the result. */
long no_gain(void);
/* What was gained, in words: an escape. */
long gained(const char *what);

#endif
