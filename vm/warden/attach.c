/* What the zygote does inside a sandbox that stands already: its name at the
 * claim, mounts then and later. It stands in the sandbox's mount namespace for
 * a few system calls, with root's rights, and walks only where root alone can
 * change anything: the sealed directory.
 *
 * Owns nothing. The way back is a descriptor of the zygote's own namespaces;
 * a zygote that cannot go back ends, and with it the warden. */
#include "attach.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* Of a prepared disk that another one hides. */
enum { HIDDEN_BYTES = 4096, HIDDEN_INODES = 16 };

int sandbox_process_open(const struct jail *jail)
{
	errno = ESRCH;
	return jail->state == CLEARING ? -1 : pidfd_open(jail->pid, 0);
}

static int enter(const struct jail *jail, int kind)
{
	CLEANUP_FD int pid_fd = sandbox_process_open(jail);
	return pid_fd < 0 ? -1 : setns(pid_fd, kind);
}

int visit_sandbox(const struct jail *jail, int (*work)(void *context, struct fault *fault), void *context, struct fault *fault)
{
	if (enter(jail, CLONE_NEWNS) != 0)
		return fail(fault, E_SANDBOX_DEAD, errno, "cannot enter the mounts of %s", jail->plan.name);
	int result = work(context, fault);
	if (setns(zygote.mount_namespace_fd, CLONE_NEWNS) != 0)
		die_errno("zygote: cannot come back from %s", jail->plan.name);
	return result;
}

int name_host(const struct jail *jail, const char *name, struct fault *fault)
{
	if (enter(jail, CLONE_NEWUTS) != 0)
		return fail(fault, E_SANDBOX_DEAD, errno, "cannot enter the host name of %s", name);
	int failed = sethostname(name, strlen(name));
	int error_number = errno;
	if (setns(zygote.uts_namespace_fd, CLONE_NEWUTS) != 0)
		die_errno("zygote: cannot come back from %s", name);
	return failed != 0 ? fail(fault, E_SETUP_FAILED, error_number, "cannot set the host name %s", name) : 0;
}

int jail_idmap(struct jail *jail, struct fault *fault)
{
	if (jail->idmap_fd < 0)
		jail->idmap_fd = idmap_open(zygote.proc_fd, zygote.person, jail->plan.uid, fault);
	return jail->idmap_fd;
}

int idmap_mount(struct jail *jail, int mount_fd, const char *target, struct fault *fault)
{
	int idmap_fd = jail_idmap(jail, fault);
	if (idmap_fd < 0)
		return -1;
	struct mount_attr mapped = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)idmap_fd };
	/* What is read-only within a writable mount is a mount of its own. */
	if (mount_setattr(mount_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &mapped, sizeof(mapped)) != 0)
		return errno == EINVAL ? fail(fault, E_MOUNT_FS_UNSUPPORTED, EINVAL, "the file system of ~/mnt/%s cannot be idmapped", target)
				       : fail(fault, E_SETUP_FAILED, errno, "cannot idmap ~/mnt/%s", target);
	return 0;
}

/* ~/mnt: the sealed mount on a directory of the child's disk, which the child cannot move because it is mounted on. */
int sealed_points_open(const char *home, struct fault *fault)
{
	char path[HOME_SIZE + 8];
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	struct stat status;
	struct statfs filesystem;
	format_text(path, sizeof(path), "%s/mnt", home);
	CLEANUP_FD int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &status) != 0 || fstatfs(fd, &filesystem) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot open %s", path);
	if (status.st_uid != 0 || filesystem.f_type != TMPFS_MAGIC || (filesystem.f_flags & ST_RDONLY) == 0)
		return fail(fault, E_INTERNAL, 0, "%s is not the sealed directory", path);
	return steal_fd(&fd);
}

int sealed_points_writable(int points_fd, struct fault *fault)
{
	struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };
	CLEANUP_FD int clone = open_tree(points_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (clone < 0 || mount_setattr(clone, "", AT_EMPTY_PATH, &writable, sizeof(writable)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clone the sealed directory");
	return steal_fd(&clone);
}

int make_point(int writable_fd, const char *path, bool is_directory, struct fault *fault)
{
	CLEANUP_FD int file = is_directory ? -1 : openat(writable_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (is_directory ? mkdirat(writable_fd, path, 0755) != 0 : file < 0)
		return fail(fault, errno == EEXIST ? E_MOUNT_TARGET_INVALID : E_SETUP_FAILED, errno, "cannot make ~/mnt/%s", path);
	return 0;
}

int mount_id_of(int dir_fd, const char *path, uint64_t *mount_id)
{
	struct statx status;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC | (path[0] == '\0' ? AT_EMPTY_PATH : 0);
	if (statx(dir_fd, path, flags, STATX_MNT_ID, &status) != 0)
		return -1;
	*mount_id = status.stx_mnt_id;
	errno = ENODATA;
	return (status.stx_mask & STATX_MNT_ID) != 0 ? 0 : -1;
}

struct attachment {
	const char *home, *target;
	int mount_fd;
	bool is_directory;
	uint64_t mount_id;
};

static int attach_inside(void *context, struct fault *fault)
{
	struct attachment *attachment = context;
	const char *target = attachment->target;
	CLEANUP_FD int points = sealed_points_open(attachment->home, fault);
	CLEANUP_FD int writable = points < 0 ? -1 : sealed_points_writable(points, fault);
	if (writable < 0 || make_point(writable, target, attachment->is_directory, fault) != 0)
		return -1;
	/* The attachment comes last: nothing may fail once the child can reach it. */
	if (mount_id_of(attachment->mount_fd, "", &attachment->mount_id) != 0)
		fail(fault, E_INTERNAL, errno, "the mount on ~/mnt/%s has no number", target);
	else if (move_mount(attachment->mount_fd, "", points, target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		fail(fault, E_SETUP_FAILED, errno, "cannot mount on ~/mnt/%s", target);
	else
		return 0;
	unlinkat(writable, target, attachment->is_directory ? AT_REMOVEDIR : 0);
	return -1;
}

int attach_mount(struct jail *jail, int mount_fd, const char *target, uint64_t *mount_id, struct fault *fault)
{
	struct stat status;
	if (idmap_mount(jail, mount_fd, target, fault) != 0)
		return -1;
	if (fstat(mount_fd, &status) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot see what is to be mounted on ~/mnt/%s", target);
	struct attachment attachment = {
		.home = jail->plan.home, .target = target, .mount_fd = mount_fd, .is_directory = S_ISDIR(status.st_mode),
	};
	if (visit_sandbox(jail, attach_inside, &attachment, fault) != 0)
		return -1;
	*mount_id = attachment.mount_id;
	return 0;
}

struct replacement {
	const char *home;
	int disk_fd;
};

/* The new disk comes to lie on the prepared one, which stays empty below it; ~/mnt is the same sealed directory. */
static int replace_inside(void *context, struct fault *fault)
{
	const struct replacement *wanted = context;
	CLEANUP_FD int points = sealed_points_open(wanted->home, fault);
	CLEANUP_FD int sealed = points < 0 ? -1 : open_tree(points, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (sealed < 0 || move_mount(wanted->disk_fd, "", AT_FDCWD, wanted->home, MOVE_MOUNT_F_EMPTY_PATH) != 0 ||
	    move_mount(sealed, "", wanted->disk_fd, "mnt", MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount the disk of its own");
	return 0;
}

int replace_disk(const struct jail *jail, int disk_fd, struct fault *fault)
{
	struct replacement wanted = { .home = jail->plan.home, .disk_fd = disk_fd };
	const uint32_t owner = jail->plan.uid;
	if (fchownat(disk_fd, "out", owner, owner, AT_SYMLINK_NOFOLLOW) != 0 || fchownat(disk_fd, "", owner, owner, AT_EMPTY_PATH) != 0 ||
	    fchmodat(disk_fd, ".", 0700, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot give the disk its owner");
	return visit_sandbox(jail, replace_inside, &wanted, fault);
}

static int set_size(const char *path, uint64_t bytes, uint64_t inodes, struct fault *fault)
{
	char size[24], count[24];
	format_text(size, sizeof(size), "%" PRIu64, bytes);
	format_text(count, sizeof(count), "%" PRIu64, inodes);
	CLEANUP_FD int context = fspick(AT_FDCWD, path, FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", count, 0) != 0 || fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot give %s %s bytes and %s inodes", path, size, count);
	return 0;
}

struct resizing {
	const char *home;
	const struct sandbox_limits *limits;
};

static int resize_inside(void *context, struct fault *fault)
{
	const struct resizing *wanted = context;
	/* Below a disk of its own the prepared one shows in the mount table: not what another session asked for. */
	bool in_memory = wanted->limits->disk_kind == DISK_TMPFS;
	uint64_t bytes = in_memory ? wanted->limits->disk_bytes : HIDDEN_BYTES, inodes = in_memory ? wanted->limits->disk_inodes : HIDDEN_INODES;
	return set_size(wanted->home, bytes, inodes, fault) != 0
		       ? -1 : set_size("/tmp", wanted->limits->tmp_bytes, wanted->limits->disk_inodes, fault);
}

int resize_scratch(const struct jail *jail, const struct sandbox_limits *limits, struct fault *fault)
{
	const struct sandbox_limits *now = &jail->plan.limits;
	struct resizing wanted = { .home = jail->plan.home, .limits = limits };
	if (limits->disk_kind == DISK_TMPFS && now->disk_bytes == limits->disk_bytes && now->disk_inodes == limits->disk_inodes && now->tmp_bytes == limits->tmp_bytes)
		return 0;
	return visit_sandbox(jail, resize_inside, &wanted, fault);
}
