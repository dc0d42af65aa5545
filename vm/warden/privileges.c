/* The last steps of a sandbox's first process as root: limits, then one
 * privilege after the other given up, then the two filters. The order is the
 * point of this file; README.md gives the reason of each step. */
#include "sandbox.h"

#include "confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

bool session_keyring_is_new;

/* The zygote's, asked as root and once: asked as a child's uid before it has one of its own, the kernel would make that user's
 * keyrings and keep them for ever. */
static long outer_keyring;

/* Never above what we were given: that would need a capability which containers withhold. */
static int limit_set(int resource, uint64_t value)
{
	struct rlimit now;
	if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
		return -1;
	now.rlim_max = value < now.rlim_max ? value : now.rlim_max;
	now.rlim_cur = now.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &now);
}

int limits_of_session_set(const struct sandbox_limits *limits)
{
	return limit_set(RLIMIT_NOFILE, limits->open_files_max) == 0 && limit_set(RLIMIT_NPROC, processes_max(limits)) == 0 ? 0 : -1;
}

static int set_limits(const struct sandbox_plan *plan, struct fault *fault)
{
	/* A core limit of 1 (not 0) is what also stops a piped core_pattern from running its helper on the host. */
	const struct {
		int resource;
		uint64_t value;
	} limits[] = {
		{ RLIMIT_CORE, 1 }, { RLIMIT_MEMLOCK, 8u << 20 }, { RLIMIT_MSGQUEUE, 819200 }, { RLIMIT_SIGPENDING, 4096 }, { RLIMIT_NICE, 0 }, { RLIMIT_RTPRIO, 0 },
	};
	for (size_t i = 0; i < ARRAY_LENGTH(limits); i++)
		if (limit_set(limits[i].resource, limits[i].value) != 0)
			return fail(fault, E_SETUP_FAILED, errno, "cannot set resource limit %d", limits[i].resource);
	if (limits_of_session_set(&plan->limits) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot limit open files and processes");
	return 0;
}

/* Nothing of root's rights needs these two in the zygote, which neither executes nor changes its uid. Done there, once, they are
 * inherited: for each child alone, dropping 41 capabilities would be 41 new credentials. */
int privileges_prepare(struct fault *fault)
{
	static const unsigned long locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
					    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (prctl(PR_SET_SECUREBITS, locked, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot lock the securebits");
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			return fail(fault, E_SETUP_FAILED, errno, "cannot drop capability %lu", capability);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clear the ambient capabilities");
	outer_keyring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	return 0;
}

static int become(uint32_t uid, struct fault *fault)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot become uid %u", uid);
	/* NO_SETUID_FIXUP kept the capabilities across setresuid; this ends them. */
	if (syscall(SYS_capset, &header, none) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot drop all capabilities");
	return 0;
}

static int die_with_zygote(int zygote_pid_fd, struct fault *fault)
{
	/* setresuid cleared an earlier one. If the zygote died before this line, no signal will come: its pidfd tells. */
	struct pollfd zygote = { .fd = zygote_pid_fd, .events = POLLIN };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot ask to die with the warden");
	if (poll(&zygote, 1, 0) != 0)
		return fail(fault, E_SETUP_FAILED, 0, "the warden is gone");
	return 0;
}

static int new_keyring(struct fault *fault)
{
	long joined = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	/* A kernel without keys has nothing to share. */
	if (joined < 0 && errno != ENOSYS)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a session keyring");
	session_keyring_is_new = joined < 0 || joined != outer_keyring;
	return 0;
}

int privileges_drop(const struct sandbox_plan *plan, const struct child_fds *fds, int *listener_fd, struct fault *fault)
{
	if (set_limits(plan, fault) != 0 || become(plan->uid, fault) != 0 || die_with_zygote(fds->zygote_pid, fault) != 0 ||
	    new_keyring(fault) != 0)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot become undumpable");
	if (chdir(plan->home) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot enter %s", plan->home);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot set no_new_privs");
	if (landlock_apply(plan->network == NETWORK_PROXIED) != 0)
		return fail(fault, E_LAYER_MISSING, errno, "cannot enter a Landlock domain");
	/* Last: it refuses some of the calls above. */
	*listener_fd = seccomp_apply_listening(plan->network == NETWORK_PROXIED ? FILTER_PROXIED : FILTER_SANDBOX);
	if (*listener_fd < 0)
		return fail(fault, E_LAYER_MISSING, errno, "cannot load the system call filter");
	return 0;
}
