/* Tries system calls and says what came of each: one line per argument.
 *
 *   attempt 'openat|-100|s=/etc/shadow|0|0' 'socket|2|1|0'
 *
 * An argument of a call is a number (decimal, hexadecimal, negative), s=text for a
 * pointer to text, z=N for a pointer to N zero bytes, or x=hex for a pointer to
 * those bytes. A call is a name of the table below or #number. Each is tried in a
 * process of its own, because some of them kill it. Prints OK <result>, the name
 * of the error, or SIGNAL <number>. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void try(char *spec)
{
	long arguments[6] = { 0 };
	char *rest = spec;
	long number = number_of(strsep(&rest, "|"));
	for (int i = 0; i < 6 && rest; i++)
		arguments[i] = argument(strsep(&rest, "|"));
	long result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	if (result == -1)
		printf("%s\n", strerrorname_np(errno) ? strerrorname_np(errno) : "UNNAMED");
	else
		printf("OK %ld\n", result);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (pid == 0) {
			alarm(5);
			try(argv[i]);
			_exit(0);
		}
		int status;
		if (waitpid(pid, &status, 0) != pid)
			return 2;
		if (WIFSIGNALED(status))
			printf("SIGNAL %d\n", WTERMSIG(status));
		else if (WEXITSTATUS(status) != 0)
			printf("FAILED %d\n", WEXITSTATUS(status));
	}
	return 0;
}
