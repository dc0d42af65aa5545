/* User namespaces that only carry a mapping for mounts. */
#include "broker.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The person's uid and gid are the child's, no other is mapped, least of all 0. */
int idmap_open(int proc_fd, const struct person *person, uint32_t child_uid, struct fault *fault)
{
	char path[64], map[64];
	int namespace_fd = -1;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	if (pid < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a user namespace for the mounts");
	format_text(path, sizeof(path), "%d/uid_map", pid);
	format_text(map, sizeof(map), "%u %u 1\n", person->uid, child_uid);
	int written = write_file(proc_fd, path, map);
	format_text(path, sizeof(path), "%d/gid_map", pid);
	format_text(map, sizeof(map), "%u %u 1\n", person->gid, child_uid);
	if (written == 0)
		written = write_file(proc_fd, path, map);
	format_text(path, sizeof(path), "%d/ns/user", pid);
	if (written == 0)
		namespace_fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	int error_number = errno;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (namespace_fd < 0)
		return fail(fault, E_SETUP_FAILED, error_number, "cannot map user %u to the sandbox's", person->uid);
	return namespace_fd;
}
