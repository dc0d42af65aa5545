/* A busy child, as the bench relay wants it: at fixed times, whatever happened before, it writes a chunk of output that begins with the time
 * at which it was due and the time at which it is written, and a report of its progress. CLOCK_MONOTONIC is one clock inside and outside.
 *
 * busy-child PHASE_MS TICK_MS TICKS CHUNK_BYTES REPORT(0|1): the last thing it writes is the time, to stderr. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES_MAX = 60 * 1024, LINE_BYTES = 100, NS_PER_MS = 1000000 };

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 * NS_PER_MS + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t due)
{
	struct timespec time = { .tv_sec = (time_t)(due / (1000 * NS_PER_MS)), .tv_nsec = (long)(due % (1000 * NS_PER_MS)) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
		;
}

static void write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);
		if (written <= 0)
			exit(1);
		bytes += written;
		size -= (size_t)written;
	}
}

int main(int argc, char **argv)
{
	static char chunk[CHUNK_BYTES_MAX];
	if (argc != 6)
		return 2;
	uint64_t phase = (uint64_t)atol(argv[1]) * NS_PER_MS, tick = (uint64_t)atol(argv[2]) * NS_PER_MS;
	long ticks = atol(argv[3]);
	size_t size = (size_t)atol(argv[4]);
	const char *channel = getenv("COHORT_FD");
	int reports = argv[5][0] == '1' && channel != NULL ? atoi(channel) : -1;
	if (tick == 0 || size < LINE_BYTES || size > sizeof(chunk))
		return 2;
	memset(chunk, 'x', sizeof(chunk));
	for (size_t at = LINE_BYTES - 1; at < sizeof(chunk); at += LINE_BYTES)
		chunk[at] = '\n';
	/* Every child's times lie on the same grid, moved by its phase. */
	uint64_t due = (now() / tick + 1) * tick + phase;
	for (long at = 0; at < ticks; at++, due += tick) {
		char line[LINE_BYTES + 1];
		sleep_until(due);
		int length = snprintf(line, sizeof(line), "@%llu %llu ", (unsigned long long)due, (unsigned long long)now());
		memset(chunk, '.', LINE_BYTES - 1);
		memcpy(chunk, line, (size_t)length);
		write_all(STDOUT_FILENO, chunk, size);
		if (reports >= 0) {
			char report[LINE_BYTES];
			length = snprintf(report, sizeof(report), "{\"progress\":\"tick %ld\",\"fraction\":%.4f}\n", at, (double)at / (double)ticks);
			write_all(reports, report, (size_t)length);
		}
	}
	fprintf(stderr, "%llu\n", (unsigned long long)now());
	return 0;
}
