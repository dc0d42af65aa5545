/* Exchanges two names as fast as it can, for so many seconds or until SIGTERM, and says how often: swap A B SECONDS. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t ended;

static void end_now(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	signal(SIGTERM, end_now);
	time_t end = time(NULL) + atoi(argv[3]);
	unsigned long swaps = 0;
	while (!ended && time(NULL) < end) {
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) != 0) {
			perror("swap");
			return 1;
		}
		swaps++;
	}
	printf("%lu\n", swaps);
	return 0;
}
