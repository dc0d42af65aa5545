/* Holds something of a granted directory in one way, says "held", and goes on trying to write through it.
 *
 *   hold cwd|read|write|dirfd|map|flight|thread|forks DIRECTORY
 *   hold asleep                  (copied into the directory and run there: the program itself is the holder)
 *   hold late DIRECTORY          opens nothing, and then tries to for ever
 *
 * Every way but the sleeping one writes "after" to DIRECTORY/file, or makes DIRECTORY/made, as often as it can once DIRECTORY/../go is
 * not needed: it never stops. Whoever looks at the directory outside sees whether it still could. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *directory;

static void need(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int open_in(const char *name, int flags)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, flags, 0644);
	need(fd >= 0, path);
	return fd;
}

static void held(void)
{
	puts("held");
	fflush(stdout);
}

static void write_for_ever(int fd)
{
	held();
	for (;;) {
		if (pwrite(fd, "after\n", 6, 0) != 6)
			perror("pwrite");
		usleep(1000);
	}
}

static void send_fd(int socket_fd, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	need(sendmsg(socket_fd, &message, 0) == 1, "sendmsg");
	close(fd);
}

/* The descriptor is in nobody's table: it waits in a socket, and is taken out and used after a while. */
static void in_flight(void)
{
	int pair[2];
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	send_fd(pair[0], open_in("file", O_RDWR));
	held();
	sleep(3);
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	need(recvmsg(pair[1], &message, 0) == 1, "recvmsg");
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	write_for_ever(fd);
}

static char stack[1 << 16] __attribute__((aligned(16)));

/* CLONE_THREAD without CLONE_FILES: the process's own table shows nothing. */
static int thread_main(void *unused)
{
	(void)unused;
	write_for_ever(open_in("file", O_RDWR));
	return 0;
}

static void in_thread(void)
{
	need(clone(thread_main, stack + sizeof(stack), CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL) > 0, "clone");
	for (;;)
		pause();
}

static void map(void)
{
	int fd = open_in("file", O_RDWR);
	char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(bytes != MAP_FAILED, "mmap");
	close(fd);
	held();
	for (;;) {
		memcpy(bytes, "after\n", 6);
		usleep(1000);
	}
}

static void make_for_ever(int dir_fd)
{
	held();
	for (;;) {
		int fd = openat(dir_fd, "made", O_WRONLY | O_CREAT, 0644);
		if (fd >= 0)
			close(fd);
		usleep(1000);
	}
}

/* Hands what it holds to a child and ends, again and again: whoever is looked at is gone a moment later. */
static void pass_on(void)
{
	int fd = open_in("file", O_RDWR);
	held();
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		pid_t pid = fork();
		if (pid > 0)
			_exit(0);
		if (pid < 0 || pwrite(fd, "after\n", 6, 0) != 6)
			usleep(100);
	}
}

static void open_for_ever(void)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/file", directory);
	held();
	for (;;) {
		int fd = open(path, O_RDWR);
		if (fd >= 0 && pwrite(fd, "after\n", 6, 0) == 6)
			close(fd);
	}
}

int main(int count, char **arguments)
{
	const char *way = count > 1 ? arguments[1] : "";
	directory = count > 2 ? arguments[2] : ".";
	if (strcmp(way, "cwd") == 0) {
		need(chdir(directory) == 0, "chdir");
		make_for_ever(AT_FDCWD);
	}
	if (strcmp(way, "read") == 0) {
		int fd = open_in("file", O_RDONLY);
		char byte;
		held();
		for (;;) {
			if (pread(fd, &byte, 1, 0) == 1)
				usleep(1000);
		}
	}
	if (strcmp(way, "write") == 0)
		write_for_ever(open_in("file", O_RDWR));
	if (strcmp(way, "dirfd") == 0)
		make_for_ever(open_in(".", O_RDONLY | O_DIRECTORY));
	if (strcmp(way, "map") == 0)
		map();
	if (strcmp(way, "flight") == 0)
		in_flight();
	if (strcmp(way, "thread") == 0)
		in_thread();
	if (strcmp(way, "forks") == 0)
		pass_on();
	if (strcmp(way, "late") == 0)
		open_for_ever();
	held();
	for (;;)
		pause();
}
