/* The Landlock domain of a sandbox: the last net under the mounts. One domain,
 * applied once by the init and inherited: with one for each exec, processes of
 * a sandbox could not signal one another. */
#include "confine.h"

#include <fcntl.h>
#include <sys/syscall.h>

/* As in linux/landlock.h, whose version on the build machine may be older than the running kernel. */
enum { RULE_PATH_BENEATH = 1, CREATE_RULESET_VERSION = 1, SCOPES_ALL = 3 };

struct ruleset {
	uint64_t handled_fs, handled_net, scoped;
};

struct path_rule {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_MAKE_CHAR = 1 << 6, FS_MAKE_SOCK = 1 << 9, FS_MAKE_BLOCK = 1 << 11,
	FS_ABI1 = (1 << 13) - 1, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15,
	NET_TCP = 3,
};

int landlock_abi(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

static int allow(int ruleset_fd, const char *path, uint64_t rights)
{
	CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	struct path_rule rule = { .allowed = rights, .parent_fd = fd };
	return (int)syscall(__NR_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0);
}

/* What the kernel of this ABI can handle; a bit that it does not know would be EINVAL. */
static struct ruleset handled(int abi, bool may_use_tcp)
{
	struct ruleset ruleset = { .handled_fs = FS_ABI1 };
	if (abi >= 2)
		ruleset.handled_fs |= FS_REFER;
	if (abi >= 3)
		ruleset.handled_fs |= FS_TRUNCATE;
	/* And no rule: no TCP. Where it is allowed, rules are by single ports: a list of those that a server of the child's own may choose
	 * from would cost more than the sandbox, and the network namespace has nothing but the child and the relay. */
	if (abi >= 4 && !may_use_tcp)
		ruleset.handled_net = NET_TCP;
	if (abi >= 5)
		ruleset.handled_fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		ruleset.scoped = SCOPES_ALL;
	return ruleset;
}

static size_t ruleset_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset);
	return abi >= 4 ? offsetof(struct ruleset, scoped) : offsetof(struct ruleset, handled_net);
}

int landlock_apply(bool may_use_tcp)
{
	/* Read and execute where something is to be read. /run, with the canary, is not among them: of it only where cohort-child lies. Those
	 * that are symbolic links here lead to /usr; those that this machine lacks are skipped. */
	static const char *const readable[] = {
		"/usr", "/etc", "/proc", "/dev", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/run/cohort/bin",
	};
	int abi = landlock_abi();
	struct ruleset ruleset = handled(abi, may_use_tcp);
	uint64_t read_rights = FS_READ_FILE | FS_READ_DIR | FS_EXECUTE;
	/* No device and no socket is ever made; REFER is granted, else a rename between directories is EXDEV. */
	uint64_t all_rights = ruleset.handled_fs & ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_MAKE_SOCK | FS_IOCTL_DEV);
	uint64_t device_rights = ruleset.handled_fs & (FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV | FS_READ_FILE | FS_READ_DIR);
	if (abi < 2) {
		errno = EOPNOTSUPP;
		return -1;
	}
	CLEANUP_FD int fd = (int)syscall(__NR_landlock_create_ruleset, &ruleset, ruleset_size(abi), 0);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LENGTH(readable); i++)
		if (allow(fd, readable[i], read_rights) != 0 && errno != ENOENT && errno != EINVAL)
			return -1;
	/* A rule covers what is mounted below it, now or later: on the home, and in its mnt. Not on the home itself, which another disk
	 * may come to lie on: the kernel passes over a place that is hidden by a mount. /sessions itself is sealed, and has this one home. */
	if (allow(fd, "/", FS_READ_DIR) != 0 || allow(fd, "/dev", device_rights) != 0 || allow(fd, "/sessions", all_rights) != 0 ||
	    allow(fd, "/tmp", all_rights) != 0 || allow(fd, "/dev/shm", all_rights) != 0)
		return -1;
	return (int)syscall(__NR_landlock_restrict_self, fd, 0);
}
