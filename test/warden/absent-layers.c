/* Takes layers away from a warden without a change to its sources: linked in front of it with ld's --wrap, it leaves out the calls that
 * make a layer. The bits of COHORT_ABSENT (enum layer) say which, COHORT_UNCHECKED makes the truth check blind. Never part of the product:
 * it is how tests show that each of them can fail. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

enum { INHERITED_FD_MIN = 100 };

static uint32_t absent_layers;
static bool unchecked;
static bool capset_waits;

/* Before main() empties the environment. */
__attribute__((constructor)) static void read_wishes(void)
{
	const char *wished = getenv("COHORT_ABSENT");
	absent_layers = wished == NULL ? 0 : (uint32_t)strtoul(wished, NULL, 10);
	unchecked = getenv("COHORT_UNCHECKED") != NULL;
	/* What a child may do then must not be the machine's: an init with rights among its processes would end them all with kill(-1), and a
	 * test of sethostname() would name it. */
	const uint32_t shared = LAYER_BIT(LAYER_PID_NS) | LAYER_BIT(LAYER_UTS_NS) | LAYER_BIT(LAYER_NET_NS);
	const uint32_t powers = LAYER_BIT(LAYER_UID) | LAYER_BIT(LAYER_NO_CAPABILITIES);
	if ((absent_layers & shared) != 0 && (absent_layers & powers) != 0)
		abort();
}

static bool absent(enum layer layer)
{
	return (absent_layers & LAYER_BIT(layer)) != 0;
}

long __real_syscall(long number, ...);
int __real_prctl(int option, ...);

/* The codec gives up its capabilities before it loads its filter. */
static bool may_load_filters(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	return __real_syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & 1u << CAP_SYS_ADMIN) != 0;
}

static int no_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	return (int)__real_syscall(SYS_capset, &header, none);
}

/* All that is permitted, and ambient, so that a program which is executed has it too. */
static void every_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	if (__real_syscall(SYS_capget, &header, sets) != 0)
		abort();
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		sets[i].effective = sets[i].inheritable = sets[i].permitted;
	if (__real_syscall(SYS_capset, &header, sets) != 0)
		abort();
	for (unsigned long capability = 0; __real_prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		__real_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

/* Sockets first, then the filter as it is: jumps are relative, so what is put in front does not disturb them. */
static long load_filter_with_sockets(long operation, long flags, const struct sock_fprog *filter)
{
	static const struct sock_filter sockets[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter *both = malloc(sizeof(sockets) + filter->len * sizeof(*both));
	if (both == NULL)
		abort();
	memcpy(both, sockets, sizeof(sockets));
	memcpy(both + ARRAY_LENGTH(sockets), filter->filter, filter->len * sizeof(*both));
	struct sock_fprog program = { .len = (unsigned short)(filter->len + ARRAY_LENGTH(sockets)), .filter = both };
	return __real_syscall(SYS_seccomp, operation, flags, &program);
}

static long load_filter(long operation, long flags, const struct sock_fprog *filter)
{
	long result = 0;
	/* Not where another uid took them already: the filter of such a process may refuse to ask. */
	bool gives_up = capset_waits && may_load_filters();
	if (operation == SECCOMP_SET_MODE_FILTER && absent(LAYER_SECCOMP)) {
		/* Whoever waits for denials gets something to wait for that never speaks. */
		if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0)
			result = eventfd(0, EFD_CLOEXEC);
	} else if (operation == SECCOMP_SET_MODE_FILTER && absent(LAYER_NO_SOCKET)) {
		result = load_filter_with_sockets(operation, flags, filter);
	} else {
		result = __real_syscall(SYS_seccomp, operation, flags, filter);
	}
	if (result >= 0 && gives_up && no_capability() != 0)
		return -1;
	return result;
}

static long clone_with_fewer(struct clone_args *arguments, long size)
{
	static const struct {
		enum layer layer;
		uint64_t flag;
	} flags[] = {
		{ LAYER_MOUNT_NS, CLONE_NEWNS }, { LAYER_PID_NS, CLONE_NEWPID }, { LAYER_IPC_NS, CLONE_NEWIPC }, { LAYER_UTS_NS, CLONE_NEWUTS },
		{ LAYER_NET_NS, CLONE_NEWNET },
	};
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
		if (absent(flags[i].layer))
			arguments->flags &= ~flags[i].flag;
	return __real_syscall(SYS_clone3, arguments, size);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_clone3)
		return clone_with_fewer((struct clone_args *)a, b);
	if (number == SYS_seccomp)
		return load_filter(a, b, (const struct sock_fprog *)c);
	if (number == SYS_landlock_restrict_self && absent(LAYER_LANDLOCK))
		return 0;
	if (number == SYS_capset && absent(LAYER_NO_CAPABILITIES))
		return 0;
	/* Without no_new_privs, only a capability may load filters: it goes after them. */
	if (number == SYS_capset && absent(LAYER_NO_NEW_PRIVS)) {
		capset_waits = true;
		return 0;
	}
	/* One that outlives an execve is made here: whether the process that started the tests left one is chance. */
	if (number == SYS_close_range && absent(LAYER_NO_INHERITED_FD))
		return fcntl(STDIN_FILENO, F_DUPFD, INHERITED_FD_MIN) < 0 ? -1 : 0;
	if (number == SYS_keyctl && a == KEYCTL_JOIN_SESSION_KEYRING && absent(LAYER_KEYRING))
		return __real_syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	return __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_prctl(int option, ...)
{
	va_list list;
	unsigned long given[4];
	va_start(list, option);
	for (size_t i = 0; i < ARRAY_LENGTH(given); i++)
		given[i] = va_arg(list, unsigned long);
	va_end(list);
	if (absent(LAYER_NO_CAPABILITIES) && (option == PR_SET_SECUREBITS || option == PR_CAPBSET_DROP))
		return 0;
	if (absent(LAYER_NO_NEW_PRIVS) && option == PR_SET_NO_NEW_PRIVS && may_load_filters())
		return 0;
	if (absent(LAYER_INIT_NOT_DUMPABLE) && option == PR_SET_DUMPABLE)
		given[0] = 1;
	return __real_prctl(option, given[0], given[1], given[2], given[3]);
}

int __real_setresuid(uid_t real, uid_t effective, uid_t saved);
int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	if (absent(LAYER_UID))
		return 0;
	if (!absent(LAYER_NO_CAPABILITIES))
		return __real_setresuid(real, effective, saved);
	int result = __real_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (result == 0)
		result = __real_setresuid(real, effective, saved);
	if (result == 0)
		every_capability();
	return result;
}

int __real_setresgid(gid_t real, gid_t effective, gid_t saved);
int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return absent(LAYER_UID) ? 0 : __real_setresgid(real, effective, saved);
}

/* What would have been the child's own is root's then, as the child is: within its pid namespace, where it is the first process. */
int __real_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags);
int __wrap_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags)
{
	return absent(LAYER_UID) && getpid() == 1 ? 0 : __real_fchownat(dir_fd, path, owner, group, flags);
}

int __real_fsconfig(int fd, unsigned int command, const char *key, const void *value, int aux);
int __wrap_fsconfig(int fd, unsigned int command, const char *key, const void *value, int aux)
{
	if (absent(LAYER_UID) && key != NULL && (strcmp(key, "uid") == 0 || strcmp(key, "gid") == 0))
		value = "0";
	if (absent(LAYER_ROOT_READ_ONLY) && command == FSCONFIG_SET_FLAG && strcmp(key, "ro") == 0)
		return 0;
	return __real_fsconfig(fd, command, key, value, aux);
}

int __real_fsmount(int fd, unsigned int flags, unsigned int attributes);
int __wrap_fsmount(int fd, unsigned int flags, unsigned int attributes)
{
	return __real_fsmount(fd, flags, absent(LAYER_NO_SETUID_GAIN) ? attributes & ~(unsigned int)MOUNT_ATTR_NOSUID : attributes);
}

/* The host's own directories, which come recursive, stay read-only in every case, and so does what grants are attached in. */
int __real_mount_setattr(int fd, const char *path, unsigned int flags, struct mount_attr *attributes, size_t size);
int __wrap_mount_setattr(int fd, const char *path, unsigned int flags, struct mount_attr *attributes, size_t size)
{
	struct mount_attr fewer = *attributes;
	if (absent(LAYER_NO_SETUID_GAIN))
		fewer.attr_set &= ~(uint64_t)MOUNT_ATTR_NOSUID;
	if (absent(LAYER_ROOT_READ_ONLY) && flags == 0)
		fewer.attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	return __real_mount_setattr(fd, path, flags, &fewer, size);
}

int __real_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int __wrap_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
	bool masks = (flags & MS_BIND) != 0 && source != NULL && strncmp(source, "/run/", 5) == 0 && strncmp(target, "/proc/", 6) == 0;
	return masks && absent(LAYER_PROC_MASKED) ? 0 : __real_mount(source, target, type, flags, data);
}

int __real_unshare(int flags);
int __wrap_unshare(int flags)
{
	int kept = absent(LAYER_CGROUP_NS) ? flags & ~CLONE_NEWCGROUP : flags;
	return kept == 0 ? 0 : __real_unshare(kept);
}

int __real_setns(int fd, int type);
int __wrap_setns(int fd, int type)
{
	return absent(LAYER_NET_NS) && type == CLONE_NEWNET ? 0 : __real_setns(fd, type);
}

/* Without a namespace of its own, the name would become the machine's. */
int __real_sethostname(const char *name, size_t size);
int __wrap_sethostname(const char *name, size_t size)
{
	return absent(LAYER_UTS_NS) ? 0 : __real_sethostname(name, size);
}

int __real_setdomainname(const char *name, size_t size);
int __wrap_setdomainname(const char *name, size_t size)
{
	return absent(LAYER_UTS_NS) ? 0 : __real_setdomainname(name, size);
}

int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
	return absent(LAYER_RLIMITS) ? 0 : __real_setrlimit(resource, limit);
}

int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number)
{
	return pid == -1 && absent(LAYER_PID_NS) ? 0 : __real_kill(pid, number);
}

int __real_write_file(int dir_fd, const char *path, const char *text);
int __wrap_write_file(int dir_fd, const char *path, const char *text)
{
	static const char *const limits[] = { "memory.max", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swap.max", "pids.max" };
	const char *file = strrchr(path, '/');
	for (size_t i = 0; absent(LAYER_CGROUP_LIMITS) && i < ARRAY_LENGTH(limits); i++)
		if (strcmp(file == NULL ? path : file + 1, limits[i]) == 0)
			return 0;
	return __real_write_file(dir_fd, path, text);
}

uint32_t __real_layers_seen_inside(const struct sandbox_plan *plan, int fds_allowed);
uint32_t __wrap_layers_seen_inside(const struct sandbox_plan *plan, int fds_allowed)
{
	return unchecked ? LAYERS_SEEN_INSIDE : __real_layers_seen_inside(plan, fds_allowed);
}

uint32_t __real_layers_seen_outside(const struct sandbox_plan *plan, const struct cgroup_set *cgroups, int proc_fd, pid_t pid);
uint32_t __wrap_layers_seen_outside(const struct sandbox_plan *plan, const struct cgroup_set *cgroups, int proc_fd, pid_t pid)
{
	return unchecked ? LAYERS_SEEN_OUTSIDE : __real_layers_seen_outside(plan, cgroups, proc_fd, pid);
}
