/* SHA-256 (FIPS 180-4), piece by piece. */
#ifndef COHORT_SHA256_H
#define COHORT_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32 };

struct sha256 {
	uint32_t state[8];
	unsigned char block[64];
	size_t used;
	uint64_t total;
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t size);
void sha256_end(struct sha256 *hash, unsigned char digest[SHA256_SIZE]);
/* What can be read from the descriptor, from where it stands. -1 with errno. */
int sha256_fd(int fd, unsigned char digest[SHA256_SIZE]);
/* As hexadecimal digits with a NUL. -1 with errno. */
int sha256_file(const char *path, char hex[65]);

#endif
