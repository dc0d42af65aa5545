/* Exchanges two names as fast as it can, for so many seconds: swap A B SECONDS. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	time_t end = time(NULL) + atoi(argv[3]);
	unsigned long swaps = 0;
	while (time(NULL) < end) {
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) != 0) {
			perror("swap");
			return 1;
		}
		swaps++;
	}
	printf("%lu\n", swaps);
	return 0;
}
