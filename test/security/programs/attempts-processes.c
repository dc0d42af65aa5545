/* Ways out by processes: signals, descriptors of processes, namespaces, users and limits. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

static long pid_descriptor(long pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/* The namespaces of another process by its descriptor (Linux 6.9 and later). */
static long namespaces_of(char **arguments)
{
	int fd = (int)pid_descriptor(atol(arguments[0]));
	if (fd < 0)
		return -1;
	for (unsigned int number = 1; number <= 10; number++) {
		if (ioctl(fd, _IO(0xFF, number), 0) >= 0)
			return number;
	}
	return -1;
}

static long enter_namespaces_of(char **arguments)
{
	int fd = (int)pid_descriptor(atol(arguments[0]));
	return fd < 0 ? -1 : syscall(SYS_setns, fd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET);
}

/* From a namespace to the one around it, and to the other mount namespaces of the machine. */
static long namespace_relatives(char **arguments)
{
	static const char *const parented[] = { "pid", "user" };
	char info[64];
	(void)arguments;
	for (int i = 0; i < 2; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/ns/%s", parented[i]);
		int fd = open(path, O_RDONLY);
		if (fd < 0)
			return -1;
		if (ioctl(fd, _IO(0xb7, 0x2)) >= 0)
			return gained("the parent of a namespace");
	}
	int mounts = open("/proc/self/ns/mnt", O_RDONLY);
	if (mounts < 0)
		return -1;
	for (unsigned int number = 11; number <= 12; number++) {
		memset(info, 0, sizeof info);
		if (ioctl(mounts, _IOC(_IOC_READ, 0xb7, number, 16), info) >= 0)
			return gained("another mount namespace");
	}
	return -1;
}

static long kill_by_descriptor(char **arguments)
{
	int fd = (int)pid_descriptor(atol(arguments[0]));
	return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

static long reap_memory_of_init(char **arguments)
{
	int fd = (int)pid_descriptor(1);
	(void)arguments;
	return fd < 0 ? -1 : syscall(448, fd, 0);
}

/* Who is at the other end of a descriptor, as a descriptor of a process. */
static long peer_process(char **arguments)
{
	int peer = -1;
	socklen_t size = sizeof peer;
	if (getsockopt(atoi(arguments[0]), SOL_SOCKET, 77, &peer, &size) != 0)
		return -1;
	return syscall(SYS_pidfd_send_signal, peer, 0, NULL, 0);
}

/* A sleeper that stays in the sandbox and is this process's own, looked at in every way that needs more than a signal. */
static long trace_own_child(char **arguments)
{
	(void)arguments;
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	long result = ptrace(PTRACE_SEIZE, pid, 0, 0);
	int error_number = errno;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	errno = error_number;
	return result;
}

/* Reads init's memory once this process says of itself that it may be read. */
static long dump_init(char **arguments)
{
	(void)arguments;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	prctl(PR_SET_PTRACER, 1, 0, 0, 0);
	return open("/proc/1/mem", O_RDWR);
}

/* Children whose parent is the init: it must neither mistake them for its own nor lose count. */
static long children_of_init(char **arguments)
{
	(void)arguments;
	for (int i = 0; i < 50; i++) {
		long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (pid < 0)
			return -1;
		if (pid == 0)
			_exit(77);
	}
	return no_gain();
}

static long host_name(char **arguments)
{
	struct utsname names;
	if (uname(&names) != 0)
		return -1;
	return strcmp(names.nodename, arguments[0]) == 0 ? gained("the name of the machine") : no_gain();
}

static long raise_limits(char **arguments)
{
	(void)arguments;
	for (int resource = 0; resource < (int)RLIM_NLIMITS; resource++) {
		struct rlimit limit;
		if (getrlimit((__rlimit_resource_t)resource, &limit) != 0 || limit.rlim_max == RLIM_INFINITY)
			continue;
		struct rlimit more = { limit.rlim_cur, limit.rlim_max + 1 };
		if (setrlimit((__rlimit_resource_t)resource, &more) == 0)
			return gained("a higher limit");
	}
	errno = EPERM;
	return -1;
}

/* setfsuid tells nothing; the owner of a new file does. */
static long file_system_uid(char **arguments)
{
	struct stat status;
	uid_t uid = (uid_t)atol(arguments[0]);
	setfsuid(uid);
	int fd = open("owned", O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || fstat(fd, &status) != 0)
		return -1;
	return status.st_uid == uid ? gained("a file of another user") : no_gain();
}

static long every_namespace(char **arguments)
{
	static const unsigned long flags[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, 0x80 };
	(void)arguments;
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		if (unshare((int)(flags[i] | CLONE_NEWUSER)) == 0 || unshare((int)flags[i]) == 0)
			return gained("a namespace by unshare");
		long pid = flags[i] == 0x80 ? -1 : syscall(SYS_clone, flags[i] | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			_exit(0);
		if (pid > 0)
			return gained("a namespace by clone");
	}
	return -1;
}

/* Whether the loader, which knows what the kernel told it, runs with more rights than it was started with. */
static long set_id_program(char **arguments)
{
	static const char *const programs[] = { "/usr/bin/su", "/usr/bin/passwd", "/usr/bin/newgrp", "/usr/bin/chsh", "/usr/bin/mount" };
	struct stat status;
	char *const environment[] = { "LD_SHOW_AUXV=1", NULL };
	char text[8192] = "";
	int out[2];
	(void)arguments;
	for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
		if (stat(programs[i], &status) != 0 || (status.st_mode & S_ISUID) == 0)
			continue;
		if (pipe(out) != 0)
			return -1;
		pid_t pid = fork();
		if (pid == 0) {
			char *const argv[] = { (char *)programs[i], "--help", NULL };
			dup2(out[1], 1), dup2(out[1], 2);
			execve(programs[i], argv, environment);
			_exit(127);
		}
		close(out[1]);
		size_t length = 0;
		for (ssize_t count; length < sizeof text - 1 && (count = read(out[0], text + length, sizeof text - 1 - length)) > 0;)
			length += (size_t)count;
		waitpid(pid, NULL, 0);
		return strstr(text, "AT_SECURE") ? no_gain() : gained("a program that runs with other rights");
	}
	return no_gain();
}

/* A socket of a child of the machine under a name that only the kernel knows, by a pair. */
static long datagram_to(char **arguments)
{
	int pair[2] = { -1, -1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct sockaddr unspecified = { .sa_family = AF_UNSPEC };
	strncpy(address.sun_path, arguments[0], sizeof address.sun_path - 1);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return -1;
	if (sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1 && errno == 0 && recv(pair[1], &pair, 1, MSG_DONTWAIT) != 1)
		return gained("a datagram sent");
	connect(pair[0], &unspecified, sizeof unspecified);
	if (connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0 || bind(pair[1], (struct sockaddr *)&address, sizeof address) == 0)
		return gained("a socket connected");
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1)
		return gained("a datagram sent");
	return -1;
}

static long connect_to(char **arguments)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (fd < 0)
		return -1;
	strncpy(address.sun_path + (arguments[0][0] == '@'), arguments[0] + (arguments[0][0] == '@'), sizeof address.sun_path - 2);
	return connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(arguments[0])));
}

const struct attempt process_attempts[] = {
	{ "namespaces-of", namespaces_of }, { "enter-namespaces-of", enter_namespaces_of }, { "namespace-relatives", namespace_relatives },
	{ "kill-by-descriptor", kill_by_descriptor }, { "reap-memory-of-init", reap_memory_of_init }, { "peer-process", peer_process },
	{ "trace-own-child", trace_own_child }, { "dump-init", dump_init }, { "children-of-init", children_of_init },
	{ "raise-limits", raise_limits }, { "file-system-uid", file_system_uid }, { "every-namespace", every_namespace },
	{ "set-id-program", set_id_program }, { "datagram-to", datagram_to }, { "connect-to", connect_to }, { "host-name", host_name },
	{ NULL, NULL },
};
