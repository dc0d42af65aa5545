/* A child that is refused on purpose: each word of its command line is a step. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void show(const char *what, long result)
{
	printf("%s %s\n", what, result >= 0 ? "done" : strerrorname_np(errno));
}

/* Prints how long each took. */
static void many(int count, int pause_every)
{
	int other = 0;
	double start_us = now_us();
	for (int i = 0; i < count; i++) {
		if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
			other++;
		if (pause_every > 0 && i % pause_every == pause_every - 1)
			usleep(30000);
	}
	double took_us = now_us() - start_us;
	printf("many %d other %d us %.1f\n", count, other, took_us / count);
}

static void *hammer(void *argument)
{
	(void)argument;
	for (;;)
		syscall(SYS_mount, 0, 0, 0, 0, 0);
	return NULL;
}

/* Processes that call in threads and are killed while they wait for the answer, again and again. */
static void killed_callers(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t thread;
			for (int t = 0; t < 4; t++)
				pthread_create(&thread, NULL, hammer, NULL);
			pause();
		}
		usleep(300 + i % 7 * 100);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	printf("killed %d\n", rounds);
}

static void own_filter(unsigned int action)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };
	show("filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

static void own_listener(long high_bits)
{
	struct sock_filter program[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog filter = { 1, program };
	show(high_bits == 0 ? "listener" : "high", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, high_bits | SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

int main(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		int number = i + 1 < argc ? atoi(argv[i + 1]) : 0;
		if (strcmp(argv[i], "socket") == 0)
			show("socket", socket(number, SOCK_STREAM | SOCK_CLOEXEC, 0));
		else if (strcmp(argv[i], "unshare") == 0)
			show("unshare", syscall(SYS_unshare, 0x10020000));
		else if (strcmp(argv[i], "setid") == 0)
			show("setid", syscall(SYS_fchmodat, -100, "f", 04755));
		else if (strcmp(argv[i], "many") == 0)
			many(number, 0);
		else if (strcmp(argv[i], "slowly") == 0)
			many(number, 32);
		else if (strcmp(argv[i], "killed") == 0)
			killed_callers(number);
		else if (strcmp(argv[i], "kinds") == 0)
			for (int family = 1; family <= number; family++)
				socket(1000 + family, SOCK_STREAM, 0);
		else if (strcmp(argv[i], "name") == 0)
			prctl(PR_SET_NAME, "a\nb\033[31m\xff", 0, 0, 0);
		else if (strcmp(argv[i], "quietly") == 0)
			show("quietly", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0x636f6871));
		else if (strcmp(argv[i], "allow") == 0)
			own_filter(SECCOMP_RET_ALLOW);
		else if (strcmp(argv[i], "pretend") == 0)
			own_filter(SECCOMP_RET_ERRNO);
		else if (strcmp(argv[i], "listener") == 0)
			own_listener(0);
		else if (strcmp(argv[i], "high") == 0)
			own_listener(1l << 40);
		else if (strcmp(argv[i], "trace") == 0)
			own_filter(SECCOMP_RET_TRACE);
		else if (strcmp(argv[i], "hammer") == 0)
			hammer(NULL);
	}
	return 0;
}
