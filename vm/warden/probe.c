/* The truth check: is each promised layer active for THIS sandbox, now? Seen
 * from inside by a process of the sandbox just before it becomes the program,
 * and from outside by the zygote. Changes nothing. Neither side believes a
 * flag that set-up left behind where the kernel can be asked (the keyring,
 * which the filter hides from its own processes, is the one exception). */
#include "sandbox.h"

#include "confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "codec.h"

static const char *const namespace_names[NS_COUNT] = { "mnt", "pid", "ipc", "uts", "net", "cgroup" };
static const enum layer namespace_layers[NS_COUNT] = {
	LAYER_MOUNT_NS, LAYER_PID_NS, LAYER_IPC_NS, LAYER_UTS_NS, LAYER_NET_NS, LAYER_CGROUP_NS,
};

int namespace_ids(int proc_fd, const char *process, uint64_t ids[NS_COUNT])
{
	char path[64];
	format_text(path, sizeof(path), "%s/ns", process);
	/* Links like `mnt:[4026531841]`, by way of a directory: a stat of each whole path takes twice as long. */
	CLEANUP_FD int dir_fd = openat(proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -1;
	for (size_t i = 0; i < NS_COUNT; i++) {
		char link[64];
		ssize_t length = readlinkat(dir_fd, namespace_names[i], link, sizeof(link) - 1);
		link[length < 0 ? 0 : length] = '\0';
		const char *number = strchr(link, '[');
		if (number == NULL)
			return -1;
		ids[i] = strtoull(number + 1, NULL, 10);
	}
	return 0;
}

static uint32_t namespace_layers_seen(const struct sandbox_plan *plan, int proc_fd, const char *process)
{
	uint64_t ids[NS_COUNT];
	uint32_t layers = 0;
	if (namespace_ids(proc_fd, process, ids) != 0)
		return 0;
	for (size_t i = 0; i < NS_COUNT; i++)
		if (ids[i] != plan->outer_namespaces[i])
			layers |= LAYER_BIT(namespace_layers[i]);
	return layers;
}

void layers_missing_text(uint32_t missing, char detail[DETAIL_SIZE])
{
	format_text(detail, DETAIL_SIZE, "layers missing:");
	for (uint32_t layer = 0; layer < LAYER_COUNT; layer++)
		if ((missing & LAYER_BIT(layer)) != 0)
			append_text(detail, DETAIL_SIZE, "%s %s", detail[strlen(detail) - 1] == ':' ? "" : ",", layer_names[layer]);
}

static bool uid_is(uint32_t uid)
{
	uid_t uids[3];
	gid_t gids[3];
	return getresuid(&uids[0], &uids[1], &uids[2]) == 0 && getresgid(&gids[0], &gids[1], &gids[2]) == 0 && uids[0] == uid &&
	       uids[1] == uid && uids[2] == uid && gids[0] == uid && gids[1] == uid && gids[2] == uid && getgroups(0, NULL) == 0;
}

static bool capabilities_are_none(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const int wanted = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED;
	if (syscall(SYS_capget, &header, sets) != 0 || (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & wanted) != wanted)
		return false;
	/* The kernel keeps the ambient set within the permitted one; its own number is seen from outside. */
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0)
			return false;
	for (unsigned long capability = 0; capability < 64; capability++) {
		int bounded = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
		if (bounded < 0)
			return capability > 0;
		if (bounded != 0)
			return false;
	}
	return true;
}

/* Everything but Landlock allows reading the canary. */
static bool landlock_refuses(void)
{
	CLEANUP_FD int fd = open(LANDLOCK_CANARY, O_RDONLY | O_CLOEXEC);
	return fd < 0 && errno == EACCES;
}

/* Which of the two flags every mount that should have it has: read-only, and nosuid. */
static void mount_flags(const struct sandbox_plan *plan, bool *sealed, bool *nosuid)
{
	const struct {
		const char *path;
		bool read_only;
	} mounts[] = {
		{ "/", true }, { "/usr", true }, { "/dev", true }, { "/etc/cohort", true }, { "/sessions", true },
		{ "/proc", false }, { plan->home, false }, { "/tmp", false }, { "/dev/shm", false },
	};
	*sealed = *nosuid = true;
	for (size_t i = 0; i < ARRAY_LENGTH(mounts); i++) {
		struct statfs status;
		bool seen = statfs(mounts[i].path, &status) == 0;
		*sealed = *sealed && seen && (!mounts[i].read_only || (status.f_flags & ST_RDONLY) != 0);
		*nosuid = *nosuid && seen && (status.f_flags & ST_NOSUID) != 0;
	}
}

static bool limit_is(int resource, uint64_t value_max)
{
	struct rlimit limit;
	return getrlimit((__rlimit_resource_t)resource, &limit) == 0 && limit.rlim_cur <= value_max && limit.rlim_max <= value_max;
}

static bool proc_is_masked(void)
{
	struct stat proc, mask;
	if (stat("/proc", &proc) != 0)
		return false;
	for (size_t i = 0; i < proc_mask_count; i++) {
		bool there = stat(proc_masks[i], &mask) == 0;
		if ((there && mask.st_dev == proc.st_dev) || (!there && errno != ENOENT))
			return false;
	}
	return true;
}

uint32_t layers_seen_inside(const struct sandbox_plan *plan, int fds_allowed)
{
	bool sealed, nosuid;
	mount_flags(plan, &sealed, &nosuid);
	const struct {
		enum layer layer;
		bool active;
	} checks[] = {
		{ LAYER_UID, uid_is(plan->uid) },
		{ LAYER_NO_CAPABILITIES, capabilities_are_none() },
		{ LAYER_NO_NEW_PRIVS, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 },
		{ LAYER_SECCOMP, prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 },
		{ LAYER_LANDLOCK, landlock_refuses() },
		{ LAYER_NO_INHERITED_FD, own_low_descriptors_only(fds_allowed) },
		{ LAYER_INIT_NOT_DUMPABLE, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 },
		{ LAYER_NO_SOCKET, sockets_are_restricted(plan->network) },
		{ LAYER_ROOT_READ_ONLY, sealed },
		{ LAYER_RLIMITS, limit_is(RLIMIT_CORE, 1) && limit_is(RLIMIT_NOFILE, plan->limits.open_files_max) && limit_is(RLIMIT_RTPRIO, 0) &&
				     limit_is(RLIMIT_NICE, 0) && limit_is(RLIMIT_NPROC, processes_max(&plan->limits)) },
		{ LAYER_KEYRING, session_keyring_is_new },
		{ LAYER_NO_SETUID_GAIN, nosuid },
		{ LAYER_PROC_MASKED, proc_is_masked() },
	};
	uint32_t layers = namespace_layers_seen(plan, AT_FDCWD, "/proc/self");
	for (size_t i = 0; i < ARRAY_LENGTH(checks); i++)
		if (checks[i].active)
			layers |= LAYER_BIT(checks[i].layer);
	return layers;
}

/* The numbers behind "Key:" in /proc/PID/status, all equal to the one given; how many there must be. */
static bool status_line_is(const char *status, const char *key, uint64_t value, int base, int count)
{
	const char *line = strstr(status, key);
	if (line == NULL)
		return false;
	char *at = NULL;
	const char *next = line + strlen(key);
	for (int i = 0; i < count; i++, next = at)
		if (strtoull(next, &at, base) != value || at == next)
			return false;
	return *next == '\n';
}

static uint32_t status_layers(const struct sandbox_plan *plan, const char *status)
{
	static const char *const capability_keys[] = { "\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapBnd:", "\nCapAmb:" };
	uint32_t layers = LAYER_BIT(LAYER_NO_CAPABILITIES);
	for (size_t i = 0; i < ARRAY_LENGTH(capability_keys); i++)
		if (!status_line_is(status, capability_keys[i], 0, 16, 1))
			layers = 0;
	const char *groups = strstr(status, "\nGroups:");
	if (status_line_is(status, "\nUid:", plan->uid, 10, 4) && status_line_is(status, "\nGid:", plan->uid, 10, 4) && groups != NULL &&
	    groups[strcspn(groups + 1, "0123456789\n") + 1] == '\n')
		layers |= LAYER_BIT(LAYER_UID);
	if (status_line_is(status, "\nNoNewPrivs:", 1, 10, 1))
		layers |= LAYER_BIT(LAYER_NO_NEW_PRIVS);
	if (status_line_is(status, "\nSeccomp:", 2, 10, 1))
		layers |= LAYER_BIT(LAYER_SECCOMP);
	return layers;
}

/* Every mount nosuid, the root and /usr read-only, the masks in place: lines are `id parent dev root POINT OPTIONS …`. */
static uint32_t mount_layers(char *mountinfo)
{
	bool all_nosuid = true, root_sealed = false, usr_sealed = false;
	size_t masks = 0;
	char *rest = NULL;
	for (char *line = strtok_r(mountinfo, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char point[512], options[256];
		if (sscanf(line, "%*s %*s %*s %*s %511s %255s", point, options) != 2)
			return 0;
		bool read_only = strncmp(options, "ro,", 3) == 0;
		all_nosuid = all_nosuid && strstr(options, "nosuid") != NULL;
		root_sealed = root_sealed || (read_only && strcmp(point, "/") == 0);
		usr_sealed = usr_sealed || (read_only && strcmp(point, "/usr") == 0);
		for (size_t i = 0; i < proc_mask_count; i++)
			masks += strcmp(point, proc_masks[i]) == 0;
	}
	/* The four that every kernel has must be there; the rest are counted inside. */
	return (all_nosuid ? LAYER_BIT(LAYER_NO_SETUID_GAIN) : 0) | (root_sealed && usr_sealed ? LAYER_BIT(LAYER_ROOT_READ_ONLY) : 0) |
	       (masks >= 4 ? LAYER_BIT(LAYER_PROC_MASKED) : 0);
}

static bool limits_line_is(const char *limits, const char *key, uint64_t value)
{
	char *at = NULL;
	const char *line = strstr(limits, key);
	if (line == NULL)
		return false;
	uint64_t soft = strtoull(line + strlen(key), &at, 10);
	return soft == value && strtoull(at, NULL, 10) == value;
}

uint32_t layers_seen_outside(const struct sandbox_plan *plan, const struct cgroup_set *cgroups, int proc_fd, pid_t pid)
{
	/* One thread, so one buffer; a line of mountinfo is about 200 bytes, with a long source 4 KiB, and each grant has up to three. */
	static char text[2 << 20];
	char process[16];
	struct stat memory;
	format_text(process, sizeof(process), "%d", pid);
	/* By way of its directory: each path is shorter by a lookup. */
	CLEANUP_FD int dir_fd = openat(proc_fd, process, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return 0;
	uint32_t layers = namespace_layers_seen(plan, dir_fd, ".");
	if (read_file(dir_fd, "status", text, sizeof(text)) > 0)
		layers |= status_layers(plan, text);
	if (read_file(dir_fd, "mountinfo", text, sizeof(text)) > 0)
		layers |= mount_layers(text);
	if (read_file(dir_fd, "limits", text, sizeof(text)) > 0 && limits_line_is(text, "Max core file size", 1) &&
	    limits_line_is(text, "Max open files", plan->limits.open_files_max) && limits_line_is(text, "Max realtime priority", 0))
		layers |= LAYER_BIT(LAYER_RLIMITS);
	/* The kernel gives the files of an undumpable process to root. */
	if (fstatat(dir_fd, "mem", &memory, AT_SYMLINK_NOFOLLOW) == 0 && memory.st_uid == 0)
		layers |= LAYER_BIT(LAYER_INIT_NOT_DUMPABLE);
	/* An init has stdio, its socket, the status socket at the start, its signalfd, and a pipe for each exec that starts. */
	if (low_descriptors_only(dir_fd, "fd", 6 + EXECS_MAX))
		layers |= LAYER_BIT(LAYER_NO_INHERITED_FD);
	if (plan->network != NETWORK_NONE && !network_is_empty(dir_fd, "."))
		layers &= ~LAYER_BIT(LAYER_NET_NS);
	if (cgroup_holds(cgroups, plan->cgroup, proc_fd, pid, &plan->cgroup_limits))
		layers |= LAYER_BIT(LAYER_CGROUP_LIMITS);
	return layers;
}
