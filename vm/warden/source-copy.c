/* A bounded copy of what cannot be idmapped, so that a child can read it or change a layer over it. Root makes an empty tmpfs that
 * belongs to the person; a process with only the person's rights fills it. */
#include "broker.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { COPY_ENTRIES_MAX = 200000, COPY_DEPTH_MAX = 256, COPY_MS_MAX = 30000, LINK_SIZE = 4096, PIECE_SIZE = 128 * 1024 };
static const uint64_t copy_bytes_max = UINT64_C(512) << 20;

struct copied {
	int error_number;
	int partial;
	uint32_t entries;
	uint32_t reserved;
	uint64_t bytes;
};

struct copying {
	int source_fd, target_fd;
	dev_t device;
	struct copied *copied;
};

/* What cannot be read is left out; all else ends the copy. */
static bool left_out(struct copying *copying, int error_number)
{
	bool unreadable = error_number == EACCES || error_number == EPERM || error_number == ENOENT || error_number == ELOOP || error_number == ENXIO;
	if (unreadable)
		copying->copied->partial = 1;
	else if (copying->copied->error_number == 0)
		copying->copied->error_number = error_number;
	return unreadable;
}

static bool copy_bytes(struct copying *copying, int from, int to)
{
	static char piece[PIECE_SIZE];
	for (;;) {
		ssize_t size = read(from, piece, sizeof(piece));
		if (size <= 0)
			return size == 0 || left_out(copying, errno == EAGAIN ? EACCES : errno);
		copying->copied->bytes += (uint64_t)size;
		if (copying->copied->bytes > copy_bytes_max)
			return left_out(copying, EFBIG);
		for (ssize_t at = 0; at < size;) {
			ssize_t written = write(to, piece + at, (size_t)(size - at));
			if (written <= 0)
				return left_out(copying, errno == ENOSPC ? EFBIG : EIO);
			at += written;
		}
	}
}

static bool finish_entry(struct copying *copying, int fd, const struct stat *status)
{
	const struct timespec times[] = { status->st_atim, status->st_mtim };
	return (fchmod(fd, status->st_mode & 0777) == 0 && futimens(fd, times) == 0) || left_out(copying, EIO);
}

static bool copy_file(struct copying *copying, int from, int target_dir, const char *name, const struct stat *status)
{
	CLEANUP_FD int to = openat(target_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return left_out(copying, errno == ENOSPC ? EFBIG : EIO);
	return copy_bytes(copying, from, to) && finish_entry(copying, to, status);
}

static bool copy_link(struct copying *copying, int source_dir, int target_dir, const char *name)
{
	char text[LINK_SIZE];
	ssize_t length = readlinkat(source_dir, name, text, sizeof(text) - 1);
	if (length < 0)
		return left_out(copying, errno);
	text[length] = '\0';
	return symlinkat(text, target_dir, name) == 0 || left_out(copying, errno == ENOSPC ? EFBIG : EIO);
}

static bool copy_directory(struct copying *copying, int from, int to, uint32_t depth);

static bool copy_entry(struct copying *copying, int source_dir, int target_dir, const char *name, uint32_t depth)
{
	struct stat status;
	if (++copying->copied->entries > COPY_ENTRIES_MAX)
		return left_out(copying, EFBIG);
	if (fstatat(source_dir, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
		return left_out(copying, errno);
	if (S_ISLNK(status.st_mode))
		return copy_link(copying, source_dir, target_dir, name);
	if ((!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) || status.st_dev != copying->device)
		return left_out(copying, EACCES);
	CLEANUP_FD int from = openat(source_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from < 0 || fstat(from, &status) != 0)
		return left_out(copying, errno);
	if (S_ISREG(status.st_mode))
		return copy_file(copying, from, target_dir, name, &status);
	if (!S_ISDIR(status.st_mode))
		return left_out(copying, EACCES);
	if (mkdirat(target_dir, name, 0700) != 0)
		return left_out(copying, errno == ENOSPC ? EFBIG : EIO);
	CLEANUP_FD int to = openat(target_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return left_out(copying, EIO);
	return copy_directory(copying, from, to, depth + 1) && finish_entry(copying, to, &status);
}

/* False: the copy has failed. */
static bool copy_directory(struct copying *copying, int from, int to, uint32_t depth)
{
	int listed_fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
	DIR *entries = listed_fd < 0 || depth > COPY_DEPTH_MAX ? NULL : fdopendir(listed_fd);
	bool good = true;
	if (entries == NULL) {
		close_fd(&listed_fd);
		return left_out(copying, EFBIG);
	}
	for (const struct dirent *entry = readdir(entries); entry != NULL && good; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			good = copy_entry(copying, from, to, entry->d_name, depth) || copying->copied->error_number == 0;
	closedir(entries);
	return good;
}

static void copy_all(void *context, void *answer, int *fd)
{
	struct copying *copying = context;
	struct stat status;
	(void)fd;
	copying->copied = answer;
	if (fstat(copying->source_fd, &status) != 0) {
		copying->copied->error_number = errno;
		return;
	}
	copying->device = status.st_dev;
	if (S_ISREG(status.st_mode))
		copy_file(copying, copying->source_fd, copying->target_fd, "file", &status);
	else if (copy_directory(copying, copying->source_fd, copying->target_fd, 0))
		finish_entry(copying, copying->target_fd, &status);
}

static int new_tmpfs(const struct person *person, struct fault *fault)
{
	char size[24], inodes[24], uid[16], gid[16];
	format_text(size, sizeof(size), "%" PRIu64, copy_bytes_max + (UINT64_C(1) << 20));
	format_text(inodes, sizeof(inodes), "%d", COPY_ENTRIES_MAX + 16);
	format_text(uid, sizeof(uid), "%u", person->uid);
	format_text(gid, sizeof(gid), "%u", person->gid);
	const char *const options[] = { "size", size, "nr_inodes", inodes, "mode", "0700", "uid", uid, "gid", gid };
	CLEANUP_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	bool good = context >= 0;
	for (size_t i = 0; good && i < ARRAY_LENGTH(options); i += 2)
		good = fsconfig(context, FSCONFIG_SET_STRING, options[i], options[i + 1], 0) == 0;
	int mount_fd = good && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0
			       ? fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) : -1;
	return mount_fd >= 0 ? mount_fd : fail(fault, E_SETUP_FAILED, errno, "cannot make a tmpfs for a copy");
}

/* Of a file the mount of the file alone; read-only both. */
static int finish_copy(int mount_fd, bool is_file, struct fault *fault)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE };
	if (is_file && attach_privately(mount_fd, fault) != 0)
		return -1;
	CLEANUP_FD int tree = is_file ? open_tree(mount_fd, "file", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) : fcntl(mount_fd, F_DUPFD_CLOEXEC, 0);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a copy read-only");
	return steal_fd(&tree);
}

int source_copy(const struct person *person, int source_fd, bool is_file, struct mount_request *mount, struct fault *fault)
{
	struct copied copied = { 0 };
	int none = -1;
	CLEANUP_FD int mount_fd = new_tmpfs(person, fault);
	if (mount_fd < 0)
		return -1;
	/* The descriptor of a mount opens nothing itself. */
	CLEANUP_FD int target_fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct copying copying = { .source_fd = source_fd, .target_fd = target_fd };
	const struct person_work work = {
		.run = copy_all, .context = &copying, .answer = &copied, .answer_size = sizeof(copied), .time_ms_max = COPY_MS_MAX,
		.enter = copies_join,
	};
	if (target_fd < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot open a tmpfs for a copy");
	uint64_t refused_before = copies_refused();
	bool answered = run_as_person(person, &work, &none) == 0;
	int failure = answered ? 0 : errno;
	if (!answered && failure != ETIMEDOUT && copies_refused() > refused_before)
		return fail(fault, E_GRANT_FS_UNSUPPORTED, ENOMEM, "the file system of %.100s cannot be idmapped, and there is no room for one copy more: those of all children together are bounded",
			    mount->source);
	if (!answered)
		return failure == ETIMEDOUT ? fail(fault, E_GRANT_FS_UNSUPPORTED, ETIMEDOUT, "copying %.150s did not end in %d s", mount->source, COPY_MS_MAX / 1000)
					  : fail(fault, E_INTERNAL, 0, "the process that should copy %.150s failed", mount->source);
	if (copied.error_number == EFBIG)
		return fail(fault, E_GRANT_FS_UNSUPPORTED, EFBIG, "the file system of %.100s cannot be idmapped, and a copy would exceed 512 MiB, %d entries or %d levels",
			    mount->source, COPY_ENTRIES_MAX, COPY_DEPTH_MAX);
	if (copied.error_number != 0)
		return fail(fault, E_GRANT_FS_UNSUPPORTED, copied.error_number, "cannot copy %.150s", mount->source);
	close_fd(&target_fd);
	mount->flags |= MOUNT_COPIED | (copied.partial != 0 ? MOUNT_COPY_PARTIAL : 0);
	return finish_copy(mount_fd, is_file, fault);
}
