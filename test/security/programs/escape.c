/* What a hostile program does to the machine at length: bombs, floods, daemons, crashes. Each mode prints what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	printf("%s %s\n", what, result == -1 ? strerrorname_np(errno) : "OK");
	fflush(stdout);
}

/* Leaves session and parent behind twice and appends to a file for as long as it lives. */
static int daemonize(const char *path)
{
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid > 0)
			_exit(0);
		setsid();
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0), dup2(null, 1), dup2(null, 2);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	for (int i = 0; i < 6000; i++) {
		if (write(fd, "x", 1) != 1)
			return 1;
		usleep(10000);
	}
	return 0;
}

/* Each process makes two more, until the kernel refuses; none ends by itself. */
_Noreturn static void fork_bomb(void)
{
	signal(SIGTERM, SIG_IGN);
	for (;;) {
		if (fork() < 0)
			usleep(1000);
	}
}

_Noreturn static void memory_bomb(void)
{
	for (;;) {
		char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block != MAP_FAILED)
			memset(block, 1, 1 << 20);
	}
}

/* Shared anonymous memory and memfds are charged as page cache: the limit must hold for them too. */
_Noreturn static void memfd_bomb(void)
{
	char block[1 << 16];
	memset(block, 1, sizeof block);
	for (;;) {
		int fd = memfd_create("bomb", 0);
		for (int i = 0; i < 256; i++) {
			if (write(fd, block, sizeof block) < 0)
				break;
		}
	}
}

static int open_files(void)
{
	int count = 0;
	while (count < 100000 && open("/dev/null", O_RDONLY) >= 0)
		count++;
	printf("opened %d %s\n", count, strerrorname_np(errno));
	return 0;
}

static int fill(const char *path)
{
	static char block[1 << 16];
	memset(block, 'x', sizeof block);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0) {
		say("open", -1);
		return 0;
	}
	long long bytes = 0;
	ssize_t written;
	while ((written = write(fd, block, sizeof block)) > 0 && bytes < (4LL << 30))
		bytes += written;
	printf("filled %lld %s\n", bytes, written < 0 ? strerrorname_np(errno) : "OK");
	unlink(path);
	return 0;
}

static int many_files(const char *directory, int most)
{
	int made = 0;
	for (; made < most; made++) {
		char path[4096];
		snprintf(path, sizeof path, "%s/f%d", directory, made);
		int fd = open(path, O_WRONLY | O_CREAT, 0600);
		if (fd < 0)
			break;
		close(fd);
	}
	printf("made %d %s\n", made, made == most ? "OK" : strerrorname_np(errno));
	return 0;
}

static int descriptors(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) != -1)
			printf("open %d\n", fd);
	}
	printf("done\n");
	return 0;
}

/* In a directory 5,000 levels deep no absolute path reaches, and cleaning up must not recurse. */
static int deep(int levels)
{
	int made = 0;
	while (made < levels && mkdir("d", 0700) == 0 && chdir("d") == 0)
		made++;
	printf("deep %d\n", made);
	return 0;
}

static int setuid_gain(const char *program)
{
	struct stat found;
	if (stat(program, &found) == 0)
		printf("mode %o uid %d\n", found.st_mode & 07777, (int)found.st_uid);
	fflush(stdout);
	execl(program, program, "ids", NULL);
	say("exec", -1);
	return 0;
}

static int ids(void)
{
	uid_t real, effective, saved;
	getresuid(&real, &effective, &saved);
	printf("uids %s\n", real == effective && effective == saved && real != 0 ? "one, not root" : "differ");
	return 0;
}

static int crash(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_CORE, &limit);
	printf("core %lld %lld\n", (long long)limit.rlim_cur, (long long)limit.rlim_max);
	fflush(stdout);
	raise(SIGSEGV);
	abort();
}

static int shared_fork_race(const char *path)
{
	/* The parent ends at once; its child writes later: the exec's end must end it, or the sandbox's end must. */
	if (fork() > 0)
		return 0;
	usleep(300000);
	int fd = open(path, O_WRONLY | O_CREAT, 0666);
	return fd < 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	const char *path = argc > 2 ? argv[2] : "";
	if (strcmp(mode, "daemonize") == 0) return daemonize(path);
	if (strcmp(mode, "fork-bomb") == 0) fork_bomb();
	if (strcmp(mode, "memory-bomb") == 0) memory_bomb();
	if (strcmp(mode, "memfd-bomb") == 0) memfd_bomb();
	if (strcmp(mode, "open-files") == 0) return open_files();
	if (strcmp(mode, "fill") == 0) return fill(path);
	if (strcmp(mode, "many-files") == 0) return many_files(path, 100000);
	if (strcmp(mode, "descriptors") == 0) return descriptors();
	if (strcmp(mode, "deep") == 0) return deep(5000);
	if (strcmp(mode, "setuid-gain") == 0) return setuid_gain(path);
	if (strcmp(mode, "ids") == 0) return ids();
	if (strcmp(mode, "crash") == 0) return crash();
	if (strcmp(mode, "late-child") == 0) return shared_fork_race(path);
	fprintf(stderr, "escape: no mode %s\n", mode);
	return 2;
}
