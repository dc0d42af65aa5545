/* Runs a fuzz target without libFuzzer: seeded mutation of its own seed inputs.
 *
 *     fuzz SEED ITERATIONS     the same two numbers give the same run; a finding aborts, and its input is in the text before it */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_SIZE_MAX = 4096, SEEDS_MAX = 64, MUTATIONS_MAX = 6 };

static uint64_t state;

static uint64_t next_random(void)
{
	/* xorshift64*: any other would do, this one is the same everywhere. */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static size_t below(size_t limit)
{
	return limit == 0 ? 0 : (size_t)(next_random() % limit);
}

static size_t mutate(uint8_t *input, size_t size)
{
	static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xca,
		0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xe0, 0xff};
	size_t at = below(size + 1);
	switch (below(6)) {
	case 0:
		if (at < size)
			input[at] ^= (uint8_t)(1u << below(8));
		return size;
	case 1:
		if (at < size)
			input[at] = telling[below(sizeof telling)];
		return size;
	case 2:
		if (at < size)
			input[at] = (uint8_t)next_random();
		return size;
	case 3: /* cut */
		return at;
	case 4: /* insert */
		if (size == INPUT_SIZE_MAX)
			return size;
		memmove(input + at + 1, input + at, size - at);
		input[at] = telling[below(sizeof telling)];
		return size + 1;
	default: /* repeat a piece */
		if (at == size)
			return size;
		size_t length = 1 + below(size - at);
		length = length < INPUT_SIZE_MAX - size ? length : INPUT_SIZE_MAX - size;
		memmove(input + at + length, input + at, size - at);
		return size + length;
	}
}

static size_t noise(uint8_t *input)
{
	size_t size = below(512);
	for (size_t index = 0; index < size; index++)
		input[index] = (uint8_t)next_random();
	return size;
}

int main(int argc, char **argv)
{
	static uint8_t seeds[SEEDS_MAX][INPUT_SIZE_MAX], input[INPUT_SIZE_MAX];
	size_t sizes[SEEDS_MAX], count = 0;
	if (argc != 3) {
		fprintf(stderr, "usage: %s SEED ITERATIONS\n", argv[0]);
		return 2;
	}
	uint64_t seed = strtoull(argv[1], NULL, 10), iterations = strtoull(argv[2], NULL, 10);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	while (count < SEEDS_MAX && (sizes[count] = fuzz_seed(count, seeds[count], INPUT_SIZE_MAX)) > 0)
		LLVMFuzzerTestOneInput(seeds[count], sizes[count]), count++;
	for (uint64_t iteration = 0; iteration < iterations; iteration++) {
		size_t size;
		if (count == 0 || below(8) == 0) {
			size = noise(input);
		} else {
			size_t chosen = below(count);
			size = sizes[chosen];
			memcpy(input, seeds[chosen], size);
			for (size_t mutations = 1 + below(MUTATIONS_MAX); mutations > 0; mutations--)
				size = mutate(input, size);
		}
		LLVMFuzzerTestOneInput(input, size);
	}
	printf("seed %" PRIu64 ": %" PRIu64 " inputs, %zu seeds, no finding\n", seed, iterations, count);
	return 0;
}
