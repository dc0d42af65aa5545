/* Staged mounts: a layer of the child's own over what it may only read. The overlay stands on ~/mnt/TARGET; what it consists of
 * stands, read-only, on ~/mnt/.staged/TARGET/{lower,upper}: nothing in it is a secret from the child, and it makes the diff itself. */
#include "grants.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "attach.h"

enum { LAYER_ATTRIBUTES = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, PATH_SIZE = MOUNT_TARGET_SIZE + 32, LAYER_INODES_MAX = 200000 };

struct staging {
	const char *home;
	struct grant *grant;
	int lower_fd, layer_fd;
};

/* A tmpfs of the size that was given, charged to whoever writes to it: the child. "data" looks like what it lies over. */
static int make_layer(const struct grant *grant, int lower_fd, struct fault *fault)
{
	char size[24], inodes[24];
	struct stat status;
	format_text(size, sizeof(size), "%" PRIu64, grant->staged_bytes);
	/* To unmount it takes time for each inode, and cannot be interrupted. */
	uint64_t count = grant->staged_bytes / 1024 + 1024;
	format_text(inodes, sizeof(inodes), "%" PRIu64, count < LAYER_INODES_MAX ? count : LAYER_INODES_MAX);
	CLEANUP_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) != 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a layer of %s bytes", size);
	CLEANUP_FD int layer = fsmount(context, FSMOUNT_CLOEXEC, LAYER_ATTRIBUTES);
	if (layer < 0 || mkdirat(layer, "data", 0700) != 0 || mkdirat(layer, "work", 0700) != 0 || fstat(lower_fd, &status) != 0 ||
	    fchownat(layer, "data", status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0 || fchmodat(layer, "data", status.st_mode & 01777, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot prepare a layer");
	return steal_fd(&layer);
}

/* Paths relative to the directory that we stand in: a name of the person's may hold what overlay's options mean otherwise. */
static int make_overlay(struct fault *fault)
{
	static const char *const options[] = {
		"lowerdir", "lower", "upperdir", "upper/data", "workdir", "upper/work", "redirect_dir", "on", "index", "off", "metacopy", "off",
	};
	CLEANUP_FD int context = fsopen("overlay", FSOPEN_CLOEXEC);
	if (context < 0)
		return fail(fault, E_SETUP_FAILED, errno, "this kernel has no overlay file system");
	for (size_t i = 0; i < ARRAY_LENGTH(options); i += 2)
		if (fsconfig(context, FSCONFIG_SET_STRING, options[i], options[i + 1], 0) != 0)
			return fail(fault, E_SETUP_FAILED, errno, "cannot set %s=%s of an overlay", options[i], options[i + 1]);
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(fault, E_GRANT_FS_UNSUPPORTED, errno, "cannot stage changes over the file system of the source");
	int overlay = fsmount(context, FSMOUNT_CLOEXEC, LAYER_ATTRIBUTES);
	return overlay >= 0 ? overlay : fail(fault, E_SETUP_FAILED, errno, "cannot mount an overlay");
}

static int attach_at(int mount_fd, int dir_fd, const char *path, struct fault *fault)
{
	if (move_mount(mount_fd, "", dir_fd, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount on %s", path);
	return 0;
}

/* The layer is mounted whole, and writable, while the overlay is made, in a directory that only root can enter; then its data takes its
 * place. The overlay comes last: nothing may fail once the child can reach it. */
static int assemble(const struct staging *staging, int parts_fd, int points_fd, int writable_fd, const char *parts_path, struct fault *fault)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	struct grant *grant = staging->grant;
	if (attach_at(staging->lower_fd, parts_fd, "lower", fault) != 0 || attach_at(staging->layer_fd, parts_fd, "upper", fault) != 0)
		return -1;
	if (fchdir(parts_fd) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot enter the parts of a staged mount");
	CLEANUP_FD int overlay = make_overlay(fault);
	CLEANUP_FD int view = overlay < 0 ? -1 : open_tree(staging->layer_fd, "data", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int moved = chdir("/");
	if (overlay < 0)
		return -1;
	if (moved != 0 || view < 0 || mount_setattr(view, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot show the layer of ~/mnt/%s", grant->target);
	if (mount_id_of(overlay, "", &grant->mount_ids[0]) != 0 || mount_id_of(staging->lower_fd, "", &grant->mount_ids[1]) != 0 ||
	    mount_id_of(view, "", &grant->mount_ids[2]) != 0 || mount_id_of(staging->layer_fd, "", &grant->layer_mount_id) != 0)
		return fail(fault, E_INTERNAL, errno, "the parts of ~/mnt/%s have no numbers", grant->target);
	if (attach_at(view, parts_fd, "upper", fault) != 0)
		return -1;
	if (fchmodat(writable_fd, parts_path, 0755, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot show the parts of ~/mnt/%s", grant->target);
	return attach_at(overlay, points_fd, grant->target, fault);
}

/* Whatever parts were attached, read-only but for the layer that no child could enter. Lazily, since our own descriptors hold them. */
static void take_back(int parts_fd, int writable_fd, const char *target)
{
	static const char *const parts[] = { "upper", "upper", "lower" };
	if (fchdir(parts_fd) == 0)
		for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
			umount2(parts[i], MNT_DETACH | UMOUNT_NOFOLLOW);
	if (chdir("/") != 0)
		die_errno("zygote: cannot leave the parts of a staged mount");
	staged_points_remove(writable_fd, target);
	unlinkat(writable_fd, target, AT_REMOVEDIR);
}

void staged_points_remove(int writable_fd, const char *target)
{
	static const char *const parts[] = { "/lower", "/upper", "" };
	char path[PATH_SIZE];
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		format_text(path, sizeof(path), ".staged/%s%s", target, parts[i]);
		unlinkat(writable_fd, path, AT_REMOVEDIR);
	}
}

static int make_points(int writable_fd, const char *target, struct fault *fault)
{
	char path[PATH_SIZE];
	if (mkdirat(writable_fd, ".staged", 0755) != 0 && errno != EEXIST)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make ~/mnt/.staged");
	format_text(path, sizeof(path), ".staged/%s", target);
	if (make_point(writable_fd, target, true, fault) != 0)
		return -1;
	if (mkdirat(writable_fd, path, 0700) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make ~/mnt/%s", path);
	append_text(path, sizeof(path), "/lower");
	if (make_point(writable_fd, path, true, fault) != 0)
		return -1;
	format_text(path, sizeof(path), ".staged/%s/upper", target);
	return make_point(writable_fd, path, true, fault);
}

static int stage_inside(void *context, struct fault *fault)
{
	struct staging *staging = context;
	const char *target = staging->grant->target;
	char path[PATH_SIZE];
	format_text(path, sizeof(path), ".staged/%s", target);
	CLEANUP_FD int points = sealed_points_open(staging->home, fault);
	CLEANUP_FD int writable = points < 0 ? -1 : sealed_points_writable(points, fault);
	if (writable < 0)
		return -1;
	if (make_points(writable, target, fault) != 0) {
		/* A target that was there before is another's. */
		if (fault->error != E_MOUNT_TARGET_INVALID) {
			staged_points_remove(writable, target);
			unlinkat(writable, target, AT_REMOVEDIR);
		}
		return -1;
	}
	CLEANUP_FD int parts = openat(points, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parts < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot open ~/mnt/%s", path);
	if (assemble(staging, parts, points, writable, path, fault) == 0)
		return 0;
	take_back(parts, writable, target);
	return -1;
}

int stage_mount(struct jail *jail, struct grant *grant, int lower_fd, struct fault *fault)
{
	if (idmap_mount(jail, lower_fd, grant->target, fault) != 0)
		return -1;
	CLEANUP_FD int layer = make_layer(grant, lower_fd, fault);
	if (layer < 0)
		return -1;
	struct staging staging = { .home = jail->plan.home, .grant = grant, .lower_fd = lower_fd, .layer_fd = layer };
	return visit_sandbox(jail, stage_inside, &staging, fault);
}
