/* Tries ways out and says what came of each: one line of JSON per argument, {"attempt":N,"result":"EPERM"}.
 *
 *   attempt 'openat|-100|s=/etc/shadow|0|0' 'socket|2|1|0' 'own-filter'
 *
 * An argument is a system call, by a name of the table below or by #number, or an attempt of the other files by its name. An argument of a
 * call is a number (decimal, octal, hexadecimal, negative), s=text for a pointer to text, z=N for a pointer to N zero bytes, or x=hex for a
 * pointer to those bytes; those of an attempt are texts. Each is tried in a process and a directory of its own, because some of them kill
 * or leave something. The result is OK <number>, the name of the error, SIGNAL <number>, or words. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

enum { ATTEMPT_SECONDS_MAX = 5, ARGUMENTS_MAX = 6, ANSWERED = 42 };

struct call {
	const char *name;
	long number;
};

#define CALL(name) { #name, SYS_##name }

static const struct call calls[] = {
	CALL(accept4), CALL(acct), CALL(add_key), CALL(adjtimex), CALL(bind), CALL(bpf), CALL(capset), CALL(chmod), CALL(chroot), CALL(clock_settime),
	CALL(clone), CALL(clone3), CALL(close_range), CALL(connect), CALL(creat), CALL(delete_module), CALL(execve), CALL(execveat), CALL(fanotify_init), CALL(fchmodat), CALL(fcntl), CALL(fsconfig),
	CALL(fsmount), CALL(fsopen), CALL(fspick), CALL(getpid), CALL(getuid), CALL(init_module), CALL(io_uring_enter), CALL(io_uring_register),
	CALL(io_uring_setup), CALL(ioctl), CALL(ioperm), CALL(iopl), CALL(ioprio_set), CALL(kcmp), CALL(kexec_file_load), CALL(kexec_load), CALL(keyctl), CALL(kill),
	CALL(landlock_create_ruleset), CALL(link), CALL(linkat), CALL(listen), CALL(lookup_dcookie), CALL(mbind), CALL(memfd_secret),
	CALL(migrate_pages), CALL(mknodat), CALL(mlock), CALL(modify_ldt), CALL(mount), CALL(mount_setattr), CALL(move_mount), CALL(move_pages),
	CALL(name_to_handle_at), CALL(nfsservctl), CALL(open_by_handle_at), CALL(open_tree), CALL(openat), CALL(openat2), CALL(perf_event_open), CALL(personality),
	CALL(pidfd_getfd), CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pivot_root), CALL(prctl), CALL(prlimit64), CALL(process_madvise),
	CALL(process_vm_readv), CALL(process_vm_writev), CALL(ptrace), CALL(quotactl), CALL(quotactl_fd), CALL(read), CALL(reboot), CALL(rename),
	CALL(renameat2), CALL(request_key), CALL(rt_sigqueueinfo), CALL(sched_setattr), CALL(sched_setscheduler), CALL(seccomp), CALL(sendto), CALL(set_mempolicy),
	CALL(setdomainname), CALL(setfsuid), CALL(setgid), CALL(setgroups), CALL(sethostname), CALL(setns), CALL(setpriority), CALL(setregid),
	CALL(setresgid), CALL(setresuid), CALL(setreuid), CALL(setrlimit), CALL(settimeofday), CALL(setuid), CALL(setxattr), CALL(socket), CALL(socketpair),
	CALL(swapoff), CALL(swapon), CALL(symlink), CALL(syslog), CALL(tgkill), CALL(truncate), CALL(umount2), CALL(unlink), CALL(unshare), CALL(uselib),
	CALL(userfaultfd), CALL(ustat), CALL(vhangup), CALL(vmsplice), CALL(write),
	CALL(arch_prctl), { "cachestat", 451 }, CALL(chdir), CALL(clock_adjtime), CALL(clock_nanosleep), CALL(copy_file_range),
	CALL(fallocate), CALL(fchmod), CALL(fchown), CALL(finit_module), CALL(flock), CALL(fork), CALL(futex), CALL(getpgid),
	CALL(getpriority), CALL(getsid), CALL(getsockopt), CALL(inotify_init1), CALL(io_setup), CALL(io_submit), CALL(ioprio_get),
	CALL(lchown), { "listmount", 458 }, CALL(lremovexattr), { "lsm_get_self_attr", 459 }, { "lsm_set_self_attr", 460 },
	{ "map_shadow_stack", 453 }, CALL(memfd_create), CALL(mincore), CALL(mkdir), CALL(mlockall), CALL(mmap), CALL(mprotect), CALL(mq_open),
	CALL(mq_unlink), { "mseal", 462 }, CALL(msgctl), CALL(msgget), CALL(pipe2), CALL(pkey_alloc), CALL(process_mrelease), CALL(recvfrom),
	CALL(remap_file_pages), CALL(rt_tgsigqueueinfo), CALL(sched_getaffinity), CALL(sched_getscheduler), CALL(sched_setaffinity),
	CALL(sched_setparam), CALL(semctl), CALL(semget), CALL(sendmsg), CALL(set_mempolicy_home_node), CALL(setpgid), CALL(setsid),
	CALL(setsockopt), CALL(shmat), CALL(shmctl), CALL(shmget), CALL(shutdown), CALL(splice), { "statmount", 457 }, CALL(sync), CALL(tee),
	CALL(timer_create), CALL(timerfd_create), CALL(tkill), CALL(umask), CALL(unlinkat), CALL(utimensat), CALL(waitid),
};

static long number_of(const char *name)
{
	if (name[0] == '#')
		return strtol(name + 1, NULL, 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	}
	fprintf(stderr, "attempt: no call %s\n", name);
	exit(2);
}

static long argument(const char *text)
{
	if (strncmp(text, "s=", 2) == 0)
		return (long)strdup(text + 2);
	if (strncmp(text, "z=", 2) == 0)
		return (long)calloc(1, strtoul(text + 2, NULL, 0));
	if (strncmp(text, "x=", 2) == 0) {
		size_t size = strlen(text + 2) / 2;
		unsigned char *bytes = calloc(1, size + 1);
		for (size_t i = 0; i < size; i++)
			sscanf(text + 2 + 2 * i, "%2hhx", &bytes[i]);
		return (long)bytes;
	}
	return (long)strtoull(text, NULL, 0);
}

static const char *verdict;

long no_gain(void)
{
	verdict = "NO GAIN";
	return 0;
}

long gained(const char *what)
{
	verdict = what;
	return 0;
}

static const struct attempt *attempt_of(const char *name)
{
	static const struct attempt *const tables[] = { file_attempts, process_attempts, kernel_attempts };
	for (size_t table = 0; table < sizeof(tables) / sizeof(tables[0]); table++) {
		for (const struct attempt *at = tables[table]; at->name; at++) {
			if (strcmp(at->name, name) == 0)
				return at;
		}
	}
	return NULL;
}

static void say(int index, const char *result)
{
	printf("{\"attempt\":%d,\"result\":\"%s\"}\n", index, result);
	fflush(stdout);
}

static void try(int index, char *spec)
{
	long arguments[ARGUMENTS_MAX] = { 0 };
	char *texts[ARGUMENTS_MAX + 1] = { NULL };
	char *rest = spec, text[64];
	const char *name = strsep(&rest, "|");
	const struct attempt *attempt = attempt_of(name);
	long number = attempt ? 0 : number_of(name), result;
	for (int i = 0; i < ARGUMENTS_MAX && rest; i++) {
		texts[i] = strsep(&rest, "|");
		arguments[i] = attempt ? 0 : argument(texts[i]);
	}
	errno = 0;
	if (attempt)
		result = attempt->run(texts);
	else
		result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	/* The copy of this process, where one could be made. */
	if (!attempt && (number == SYS_clone || number == SYS_clone3) && result == 0)
		_exit(0);
	if (verdict)
		say(index, verdict);
	else if (result == -1)
		say(index, strerrorname_np(errno) ? strerrorname_np(errno) : "UNNAMED");
	else
		snprintf(text, sizeof text, "OK %ld", result), say(index, text);
}

static void enter_own_directory(int index)
{
	char name[32];
	snprintf(name, sizeof name, "attempt-%d", index);
	/* Where nothing can be made, all are tried in the same place. */
	if (mkdir(name, 0700) == 0 && chdir(name) != 0)
		_exit(2);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (pid == 0) {
			alarm(ATTEMPT_SECONDS_MAX);
			enter_own_directory(i - 1);
			try(i - 1, argv[i]);
			_exit(ANSWERED);
		}
		int status;
		char text[32];
		if (waitpid(pid, &status, WUNTRACED) != pid)
			return 2;
		if (WIFSTOPPED(status)) {
			kill(pid, SIGKILL);
			if (waitpid(pid, &status, 0) != pid)
				return 2;
		}
		if (WIFSIGNALED(status)) {
			snprintf(text, sizeof text, "SIGNAL %d", WTERMSIG(status));
			say(i - 1, text);
		} else if (WEXITSTATUS(status) != ANSWERED) {
			say(i - 1, "FAILED");
		}
	}
	return 0;
}
