/* Ways out by the kernel's other doors: numbers of system calls, filters and domains of one's own, memory, clocks, the network. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attempt.h"

/* The 32-bit doors: x32 numbers, and int 0x80. */
static long x32(char **arguments)
{
	return syscall(0x40000000 + strtol(arguments[0], NULL, 0), 2, 1, 0);
}

static long int80(char **arguments)
{
#ifdef __x86_64__
	long result, number = strtol(arguments[0], NULL, 0);
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(2L), "c"(1L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
	errno = (int)-result;
	return result < 0 ? -1 : result;
#else
	(void)arguments;
	errno = ENOSYS;
	return -1;
#endif
}

/* Every number that no reviewed call has. */
static long numbers(char **arguments)
{
	long from = strtol(arguments[0], NULL, 0), to = strtol(arguments[1], NULL, 0);
	for (long number = from; number < to; number++) {
		errno = 0;
		if (syscall(number, -1, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
			return number;
	}
	errno = ENOSYS;
	return -1;
}

static long load(unsigned int flags, struct sock_filter *filter, unsigned short length)
{
	struct sock_fprog program = { .len = length, .filter = filter };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* A filter of one's own that allows all can only add. */
static long own_filter(char **arguments)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	(void)arguments;
	if (load(0, &allow, 1) != 0)
		return -1;
	return unshare(CLONE_NEWUSER);
}

/* A supervisor of one's own, which lets every refused call go on. */
static long own_supervisor(char **arguments)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	(void)arguments;
	int listener = (int)load(SECCOMP_FILTER_FLAG_NEW_LISTENER, filter, 4), status = 0;
	if (listener < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
	struct pollfd waited = { .fd = listener, .events = POLLIN };
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (poll(&waited, 1, 20) != 1)
			continue;
		struct seccomp_notif asked = { 0 };
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
			continue;
		struct seccomp_notif_resp answer = { .id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	errno = WEXITSTATUS(status);
	return WIFEXITED(status) && errno == 0 ? gained("a user namespace") : -1;
}

/* A Landlock domain of one's own that allows all, and then what the outer one forbids. */
static long own_domain(char **arguments)
{
	struct landlock_ruleset_attr handled = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	int root = open("/", O_PATH);
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = root };
	if (ruleset < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		return -1;
	return open(arguments[0], O_RDONLY);
}

/* Pages of a size that only the machine's administrator can set aside, and that no limit of ours counts. */
static long huge_pages(char **arguments)
{
	(void)arguments;
	void *pages = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	return pages == MAP_FAILED ? -1 : gained("huge pages");
}

static long set_clock(char **arguments)
{
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	/* What it is: who succeeds changes nothing. */
	return syscall(SYS_clock_settime, strtol(arguments[0], NULL, 0), &now);
}

static long alarm_timer(char **arguments)
{
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	int timer;
	return syscall(SYS_timer_create, strtol(arguments[0], NULL, 0), &event, &timer);
}

static long lock_memory(char **arguments)
{
	size_t size = strtoul(arguments[0], NULL, 0);
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return pages == MAP_FAILED ? -1 : mlock(pages, size);
}

static long madvise_own(char **arguments)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : madvise(page, 4096, atoi(arguments[0]));
}

/* Touches so many MiB: within a limit, or the end of this process. */
static long use_memory(char **arguments)
{
	long mebibytes = atol(arguments[0]);
	for (long i = 0; i < mebibytes; i++) {
		char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block == MAP_FAILED)
			return -1;
		memset(block, 1, 1 << 20);
	}
	return mebibytes;
}

/* So many children at once; all are gone when it returns. */
static long use_processes(char **arguments)
{
	long wanted = atol(arguments[0]), made = 0;
	int error_number = 0, gate[2];
	if (pipe(gate) != 0)
		return -1;
	while (made < wanted) {
		pid_t pid = fork();
		if (pid == 0) {
			char end;
			close(gate[1]);
			_exit((int)read(gate[0], &end, 1));
		}
		if (pid < 0) {
			error_number = errno;
			break;
		}
		made++;
	}
	close(gate[1]);
	while (wait(NULL) > 0)
		;
	errno = error_number;
	return error_number ? -1 : made;
}

static long widen_pipe(char **arguments)
{
	int ends[2];
	(void)arguments;
	return pipe(ends) != 0 ? -1 : fcntl(ends[1], F_SETPIPE_SZ, 64 << 20);
}

/* tcp ADDRESS PORT: an answer within a second, or none. */
static long tcp(char **arguments)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(arguments[1])) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1])) };
	int is_six = strchr(arguments[0], ':') != NULL, error_number = 0;
	socklen_t size = sizeof error_number;
	inet_pton(is_six ? AF_INET6 : AF_INET, arguments[0], is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four, is_six ? sizeof six : sizeof four) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	struct pollfd waited = { .fd = fd, .events = POLLOUT };
	if (poll(&waited, 1, 1000) != 1)
		errno = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &size) == 0 && error_number == 0)
		return 0;
	else
		errno = error_number;
	return -1;
}

/* The first packet that also carries data goes out by sendto: another door than connect. */
static long tcp_fast_open(char **arguments)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1])) };
	inet_pton(AF_INET, arguments[0], &address.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 ? -1 : sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address);
}

const struct attempt kernel_attempts[] = {
	{ "x32", x32 }, { "int80", int80 }, { "numbers", numbers }, { "own-filter", own_filter }, { "own-supervisor", own_supervisor },
	{ "own-domain", own_domain }, { "huge-pages", huge_pages }, { "set-clock", set_clock }, { "alarm-timer", alarm_timer },
	{ "lock-memory", lock_memory }, { "widen-pipe", widen_pipe }, { "madvise-own", madvise_own },
	{ "use-memory", use_memory }, { "use-processes", use_processes }, { "tcp", tcp }, { "tcp-fast-open", tcp_fast_open }, { NULL, NULL },
};
