/* The mounts of one sandbox, made by its own first process while that is still
 * root, in its own mount namespace: a /proc of its pid namespace, a sealed
 * root-owned tmpfs, the session disk, and /tmp with /dev/shm. Sees only the
 * template root. What a task is given to see comes later, by attach.c. */
#include "sandbox.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { SCRATCH_ATTRIBUTES = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME };

/* Those of root's that an unprivileged reader could open too, and those that a hole elsewhere would make worth having. Each costs 12 µs. */
const char *const proc_masks[] = {
	"/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/key-users", "/proc/sysrq-trigger", "/proc/modules", "/proc/cmdline",
	"/proc/acpi", "/proc/fs",
};
const size_t proc_mask_count = ARRAY_LENGTH(proc_masks);
static const size_t proc_mask_files = ARRAY_LENGTH(proc_masks) - 2; /* those before the directories */

/* A new file system of its own, not yet attached. Options are key, value pairs, ended by NULL. */
static int new_filesystem(const char *type, const char *const options[], unsigned int attributes, struct fault *fault)
{
	CLEANUP_FD int context = fsopen(type, FSOPEN_CLOEXEC);
	if (context < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot open a new %s", type);
	for (size_t i = 0; options[i] != NULL; i += 2)
		if (fsconfig(context, FSCONFIG_SET_STRING, options[i], options[i + 1], 0) != 0)
			return fail(fault, E_SETUP_FAILED, errno, "cannot set %s=%s of a %s", options[i], options[i + 1], type);
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a %s", type);
	int mount_fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
	if (mount_fd < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount a %s", type);
	return mount_fd;
}

static int attach(int mount_fd, const char *path, struct fault *fault)
{
	if (move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount on %s", path);
	return 0;
}

/* Mounts a subdirectory of an attached mount a second time. */
static int attach_part(int mount_fd, const char *part, const char *path, struct fault *fault)
{
	CLEANUP_FD int tree = open_tree(mount_fd, part, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clone %s", part);
	return attach(tree, path, fault);
}

static int build_proc(struct fault *fault)
{
	static const char *const options[] = { NULL };
	CLEANUP_FD int proc = new_filesystem("proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, fault);
	if (proc < 0 || attach(proc, "/proc", fault) != 0)
		return -1;
	for (size_t i = 0; i < proc_mask_count; i++) {
		/* An empty file over a file, an empty directory over a directory: the other is ENOTDIR. What it mostly is comes first. */
		static const char *const covers[] = { "/run/blank", "/run/empty" };
		size_t first = i < proc_mask_files ? 0 : 1;
		int done = mount(covers[first], proc_masks[i], NULL, MS_BIND, NULL);
		if (done != 0 && errno == ENOTDIR)
			done = mount(covers[1 - first], proc_masks[i], NULL, MS_BIND, NULL);
		if (done != 0 && errno != ENOENT)
			return fail(fault, E_SETUP_FAILED, errno, "cannot cover %s", proc_masks[i]);
	}
	return 0;
}

static int make_dir(int dir_fd, const char *path, mode_t mode, uint32_t owner, struct fault *fault)
{
	if (mkdirat(dir_fd, path, mode) != 0 || (owner != 0 && fchownat(dir_fd, path, owner, owner, AT_SYMLINK_NOFOLLOW) != 0))
		return fail(fault, E_SETUP_FAILED, errno, "cannot make the directory %s", path);
	return 0;
}

static int make_file(int dir_fd, const char *path, const char *text, struct fault *fault)
{
	CLEANUP_FD int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	size_t length = strlen(text);
	if (fd < 0 || write(fd, text, length) != (ssize_t)length)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make the file %s", path);
	return 0;
}

/* Where the disk is mounted, within the sealed mount. */
static void session_point(const char *name, char path[HOME_SIZE])
{
	format_text(path, HOME_SIZE, "sessions/%s", name);
}

int mounts_name(const struct sandbox_plan *plan, int sealed_fd, struct fault *fault)
{
	char text[512], prepared[HOME_SIZE], named[HOME_SIZE];
	session_point(PREPARED_NAME, prepared);
	session_point(plan->name, named);
	/* The sandbox itself could not: to its own mount namespace the directory is busy, because the disk is mounted there. */
	if (renameat(sealed_fd, prepared, sealed_fd, named) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot rename the home of %s", plan->name);
	format_text(text, sizeof(text),
		    "root:x:0:0:root:/:/usr/sbin/nologin\nchild:x:%" PRIu32 ":%" PRIu32 ":%s:%s:/bin/sh\n"
		    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		    plan->uid, plan->uid, plan->name, plan->home);
	if (make_file(sealed_fd, "etc/passwd", text, fault) != 0)
		return -1;
	format_text(text, sizeof(text), "root:x:0:\nchild:x:%" PRIu32 ":\nnogroup:x:65534:\n", plan->uid);
	return make_file(sealed_fd, "etc/group", text, fault);
}

static int fill_sealed(int sealed, struct fault *fault)
{
	char path[HOME_SIZE];
	session_point(PREPARED_NAME, path);
	if (make_dir(sealed, "etc", 0755, 0, fault) != 0 || make_dir(sealed, "mnt", 0755, 0, fault) != 0 ||
	    make_dir(sealed, "sessions", 0755, 0, fault) != 0)
		return -1;
	return make_dir(sealed, path, 0755, 0, fault);
}

/* A root-owned read-only tmpfs with what differs by sandbox, in three places: the user database, /sessions with the sandbox's own name
 * alone, and later ~/mnt. Were ~/mnt a directory of the child's own disk, the child could rename it and put a link in its place. */
static int build_sealed(int *sealed_out, int *writable_out, struct fault *fault)
{
	static const char *const options[] = { "size", "256k", "nr_inodes", "1024", "mode", "0755", NULL };
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY }, writable = { .attr_clr = MOUNT_ATTR_RDONLY };
	CLEANUP_FD int sealed = new_filesystem("tmpfs", options, SCRATCH_ATTRIBUTES | MOUNT_ATTR_NOEXEC, fault);
	if (sealed < 0 || fill_sealed(sealed, fault) != 0)
		return -1;
	if (mount_setattr(sealed, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot seal the session's root-owned directory");
	/* Its root stands on /sessions only until its own part "sessions" covers it there. */
	if (attach(sealed, "/sessions", fault) != 0 || attach_part(sealed, "etc", "/etc/cohort", fault) != 0)
		return -1;
	CLEANUP_FD int clone = open_tree(sealed, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (clone < 0 || mount_setattr(clone, "", AT_EMPTY_PATH, &writable, sizeof(writable)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clone the session's root-owned directory");
	if (attach_part(sealed, "sessions", "/sessions", fault) != 0)
		return -1;
	*sealed_out = steal_fd(&sealed);
	*writable_out = steal_fd(&clone);
	return 0;
}

static int build_disk(const struct sandbox_plan *plan, int sealed, struct fault *fault)
{
	char size[24], inodes[24], owner[16], target[HOME_SIZE + 8];
	format_text(size, sizeof(size), "%" PRIu64, plan->limits.disk_bytes);
	format_text(inodes, sizeof(inodes), "%" PRIu64, plan->limits.disk_inodes);
	format_text(owner, sizeof(owner), "%" PRIu32, plan->uid);
	const char *const options[] = { "size", size, "nr_inodes", inodes, "mode", "0700", "uid", owner, "gid", owner, NULL };
	CLEANUP_FD int disk = new_filesystem("tmpfs", options, SCRATCH_ATTRIBUTES, fault);
	if (disk < 0 || make_dir(disk, "out", 0700, plan->uid, fault) != 0 || make_dir(disk, "mnt", 0755, 0, fault) != 0 ||
	    attach(disk, plan->home, fault) != 0)
		return -1;
	format_text(target, sizeof(target), "%s/mnt", plan->home);
	return attach_part(sealed, "mnt", target, fault);
}

/* /tmp and /dev/shm share one size limit: two parts of one tmpfs, whose root /tmp's part covers. */
static int build_scratch(const struct sandbox_plan *plan, struct fault *fault)
{
	char size[24], inodes[24];
	format_text(size, sizeof(size), "%" PRIu64, plan->limits.tmp_bytes);
	format_text(inodes, sizeof(inodes), "%" PRIu64, plan->limits.disk_inodes);
	const char *const options[] = { "size", size, "nr_inodes", inodes, "mode", "0755", NULL };
	CLEANUP_FD int scratch = new_filesystem("tmpfs", options, SCRATCH_ATTRIBUTES, fault);
	if (scratch < 0 || make_dir(scratch, "tmp", 01777, 0, fault) != 0 || make_dir(scratch, "shm", 01777, 0, fault) != 0)
		return -1;
	if (attach(scratch, "/tmp", fault) != 0 || attach_part(scratch, "shm", "/dev/shm", fault) != 0)
		return -1;
	return attach_part(scratch, "tmp", "/tmp", fault);
}

int mounts_build(const struct sandbox_plan *plan, int *sealed_fd, struct fault *fault)
{
	CLEANUP_FD int sealed = -1;
	umask(0);
	if (build_proc(fault) != 0 || build_sealed(&sealed, sealed_fd, fault) != 0 || build_disk(plan, sealed, fault) != 0 ||
	    build_scratch(plan, fault) != 0)
		return -1;
	umask(022);
	return 0;
}
