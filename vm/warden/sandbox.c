/* Starts one sandbox: from a plan to a first process that is fully confined
 * and serves as its init. Runs as root in the zygote until clone3; what follows
 * runs in the child and ends in init_main(). */
#include "sandbox.h"

#include "codec.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* Where a child's descriptors stand once it has closed all others. */
enum { FD_CONTROL = 3, FD_STATUS, FD_ZYGOTE_PID, FD_SEALED, FD_NETWORK, FD_FIRST_CLOSED };

static bool is_session_name(const char *name)
{
	size_t length = strnlen(name, SESSION_NAME_SIZE);
	if (length == 0 || length >= SESSION_NAME_SIZE || name[0] < 'a' || name[0] > 'z')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

bool is_mount_target(const char *target)
{
	size_t length = strnlen(target, MOUNT_TARGET_SIZE);
	return length > 0 && length < MOUNT_TARGET_SIZE && target[0] != '.' && memchr(target, '/', length) == NULL;
}

static int check_mounts(const struct create_request *request, struct fault *fault)
{
	if (request->mount_count > MOUNTS_MAX)
		return fail(fault, E_LIMIT_MOUNTS, 0, "at most %d mounts", MOUNTS_MAX);
	for (uint32_t i = 0; i < request->mount_count; i++) {
		const char *target = request->mounts[i].target;
		if (!is_mount_target(target))
			return fail(fault, E_MOUNT_TARGET_INVALID, 0, "the target of mount %u is not one plain path component", i + 1);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(request->mounts[j].target, target) == 0)
				return fail(fault, E_MOUNT_TARGET_INVALID, 0, "two mounts have the target %s", target);
	}
	return 0;
}

int sandbox_request_check(const struct create_request *request, struct fault *fault)
{
	static const uint64_t bytes_max = UINT64_C(1) << 50;
	const struct sandbox_limits *limits = &request->limits;
	if (!is_session_name(request->name))
		return fail(fault, E_NAME_INVALID, 0, "a session name is [a-z][a-z0-9-]{0,62}");
	if (limits->memory_bytes < 1 << 20 || limits->memory_bytes > bytes_max || limits->disk_bytes < 4096 || limits->disk_bytes > bytes_max ||
	    limits->tmp_bytes < 4096 || limits->tmp_bytes > bytes_max)
		return fail(fault, E_SETUP_FAILED, 0, "memory under 1 MiB, a disk or /tmp under 4 KiB, or one over 1 PiB");
	if (limits->pids_max < 2 || limits->pids_max > PIDS_MAX || limits->open_files_max < 16 || limits->disk_inodes < 16)
		return fail(fault, E_SETUP_FAILED, 0, "at least 2 processes, 16 open files and 16 inodes are needed");
	if (request->network >= NETWORK_MODES)
		return fail(fault, E_SETUP_FAILED, 0, "network mode %u is not known; 0 is none, 1 proxied", request->network);
	return check_mounts(request, fault);
}

/* A disk of kind tmpfs and /tmp lie in memory: under a smaller limit, filling them would be an OOM kill and not ENOSPC. */
struct cgroup_limits sandbox_cgroup_limits(const struct sandbox_limits *limits)
{
	return (struct cgroup_limits){
		.memory_bytes = limits->memory_bytes + (limits->disk_kind == DISK_TMPFS ? limits->disk_bytes : 0) + limits->tmp_bytes,
		.pids_max = limits->pids_max,
		.cpu_permille = limits->cpu_permille,
	};
}

void sandbox_plan_name(struct sandbox_plan *plan, const char *name)
{
	format_text(plan->name, sizeof(plan->name), "%s", name);
	format_text(plan->home, sizeof(plan->home), "/sessions/%s", name);
}

/* Descriptors to their fixed places, everything else closed: no cgroup directory, pidfd, mount or socket of the warden survives this. */
static int keep_descriptors(const struct child_fds *fds, int sealed_fd, int network_fd)
{
	int sources[] = { fds->control, fds->status, fds->zygote_pid, sealed_fd, network_fd };
	size_t count = ARRAY_LENGTH(sources) - (network_fd < 0 ? 1 : 0);
	/* Away from the low numbers first, so that no dup overwrites a source. */
	for (size_t i = 0; i < count; i++) {
		sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, FD_FIRST_CLOSED);
		if (sources[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++)
		if (dup3(sources[i], FD_CONTROL + (int)i, O_CLOEXEC) < 0)
			return -1;
	/* 0 and 1 are the template root's /dev/null already; 2 is the warden's own stderr. */
	if (dup2(STDIN_FILENO, STDERR_FILENO) < 0)
		return -1;
	return (int)syscall(__NR_close_range, FD_CONTROL + (int)count, ~0u, 0);
}

/* Children are killed before the host's own processes when the machine runs out of memory. Raising needs no privilege. */
static int raise_oom_score(struct fault *fault)
{
	if (write_file(AT_FDCWD, "/proc/self/oom_score_adj", "300") != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot raise the out-of-memory score");
	return 0;
}

static int confine(const struct sandbox_plan *plan, const struct cgroup_set *cgroups, const struct child_fds *fds, int *listener_fd, struct fault *fault)
{
	static const struct child_fds kept = { FD_CONTROL, FD_STATUS, FD_ZYGOTE_PID, -1, -1 };
	CLEANUP_FD int sealed = -1, network = -1;
	/* Again after setresuid, which clears it; this one covers the way there. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot ask to die with the warden");
	if (setsid() < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot start a session");
	if (fds->network >= 0 && setns(fds->network, CLONE_NEWNET) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot enter a network namespace");
	if (plan->network == NETWORK_PROXIED) {
		network = network_proxied_build(fds->proc, fault);
		if (network < 0)
			return -1;
	}
	if (cgroup_join_v1(cgroups, plan->cgroup) != 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot join the v1 cgroups of %s", plan->cgroup);
	/* After the joins, so that the sandbox's own cgroups are the roots that it sees. */
	if (unshare(CLONE_NEWCGROUP) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a cgroup namespace");
	if (sethostname(plan->name, strlen(plan->name)) != 0 || setdomainname("", 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot set the host name");
	if (mounts_build(plan, &sealed, fault) != 0 || raise_oom_score(fault) != 0)
		return -1;
	if (keep_descriptors(fds, sealed, network) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot close inherited descriptors");
	sealed = network = -1; /* closed, and their copies stand at FD_SEALED and FD_NETWORK */
	return privileges_drop(plan, &kept, listener_fd, fault);
}

_Noreturn static void child_main(struct sandbox_plan *plan, const struct cgroup_set *cgroups, const struct child_fds *fds)
{
	struct child_status status = { 0 };
	int listener = -1;
	/* Until keep_descriptors ran, the status socket has its old number. */
	if (confine(plan, cgroups, fds, &listener, &status.fault) != 0) {
		if (send_packet(fds->status, &status, sizeof(status), NULL, 0) != 0)
			send_packet(FD_STATUS, &status, sizeof(status), NULL, 0);
		_exit(EXIT_FAILURE);
	}
	close(FD_ZYGOTE_PID);
	/* The listener has the lowest free number: FD_FIRST_CLOSED at most, unless something stayed open that should not. */
	status.layers = layers_seen_inside(plan, FD_FIRST_CLOSED + 1);
	/* None stays with anybody in here. Until the listener has arrived, this process makes no call that would ask it. */
	const int sent[] = { FD_SEALED, listener, FD_NETWORK };
	size_t count = plan->network == NETWORK_PROXIED ? ARRAY_LENGTH(sent) : ARRAY_LENGTH(sent) - 1;
	if (send_packet(FD_STATUS, &status, sizeof(status), sent, count) != 0)
		_exit(EXIT_FAILURE);
	for (size_t i = 0; i < count; i++)
		close(sent[i]);
	close(FD_STATUS);
	init_main(plan, FD_CONTROL);
}

pid_t sandbox_start(struct sandbox_plan *plan, const struct cgroup_set *cgroups, const struct child_fds *fds, struct fault *fault)
{
	CLEANUP_FD int cgroup_fd = cgroup_open(cgroups, plan->cgroup);
	if (cgroup_fd < 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot open the cgroup %s", plan->cgroup);
	struct clone_args arguments = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_INTO_CGROUP |
			 (fds->network < 0 ? CLONE_NEWNET : 0),
		.exit_signal = INIT_END_SIGNAL,
		.cgroup = (uint64_t)cgroup_fd,
	};
	/* Born in its cgroup: no moment in which it runs without. */
	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (pid < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clone the first process of a sandbox");
	if (pid == 0)
		child_main(plan, cgroups, fds);
	return (pid_t)pid;
}
