/* What a fuzz target offers, and how it says that an invariant is broken. */
#ifndef COHORT_FUZZ_H
#define COHORT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The number-th input to start from; 0 when there are no more. */
size_t fuzz_seed(size_t number, uint8_t *buffer, size_t capacity);

#endif
