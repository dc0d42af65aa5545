/* From a path that a person named to a detached mount that a sandbox may have.
 * Runs as root in the host mount namespace, in a short-lived process for one
 * creation or grant. The path is opened by a process that has only the person's
 * rights: what they cannot read is refused by the kernel, not by a check of ours. */
#include "broker.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { OPENER_MS_MAX = 5000, LINE_SIZE = 16384 };

/* What the opener says beside the descriptor. */
struct opened {
	int error_number;
	int not_writable;
	int search_is_partial;
	uint32_t mode;
};

struct opening {
	const struct mount_request *mount;
	int paths_fd;   /* -1, or where to write the protected names below it */
};

/* Of this machine: a call on them does not hang. Whether one can be idmapped is the kernel's to say. */
static const char *const filesystems[] = {
	"ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "vfat", "exfat", "ntfs3", "erofs", "squashfs", "ext2", "ext3", "overlay",
};

/* Answered by a process or another machine, which may hang: root never touches them, and a child gets a copy. */
static const char *const answered_filesystems[] = {
	"nfs", "nfs4", "fuse", "fuseblk", "9p", "virtiofs", "cifs", "smb3", "ceph", "iso9660", "udf", "ntfs", "hfsplus",
};

static void open_source(void *context, void *answer, int *fd)
{
	const struct opening *opening = context;
	struct opened *opened = answer;
	struct stat status;
	struct open_how how = {
		/* Not O_PATH, which opens what nobody may read. O_NONBLOCK and O_NOCTTY: a FIFO or terminal must not hold or bind us. */
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	*fd = (int)syscall(SYS_openat2, AT_FDCWD, opening->mount->source, &how, sizeof(how));
	if (*fd < 0)
		opened->error_number = errno;
	else if (opening->mount->mode == MOUNT_RW)
		opened->not_writable = syscall(__NR_faccessat2, *fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) != 0;
	if (*fd >= 0 && fstat(*fd, &status) == 0)
		opened->mode = status.st_mode;
	if (opening->paths_fd >= 0 && S_ISDIR(opened->mode))
		opened->search_is_partial = !protected_names_search(*fd, opening->paths_fd);
}

/* *mode: its kind, as the person sees it. Root does not ask: a file system of the person's own may answer nobody else, or never. */
static int open_as_person(const struct person *person, struct mount_request *mount, int paths_fd, uint32_t *mode, struct fault *fault)
{
	struct opened opened = { 0 };
	struct opening opening = { .mount = mount, .paths_fd = paths_fd };
	const struct person_work work = {
		.run = open_source, .context = &opening, .answer = &opened, .answer_size = sizeof(opened), .time_ms_max = OPENER_MS_MAX,
	};
	CLEANUP_FD int fd = -1;
	if (run_as_person(person, &work, &fd) != 0)
		return errno == ETIMEDOUT
			       ? fail(fault, E_MOUNT_SOURCE_UNREADABLE, ETIMEDOUT, "opening %.150s did not end in %d s", mount->source, OPENER_MS_MAX / 1000)
			       : fail(fault, E_INTERNAL, 0, "the process that should open %.150s failed", mount->source);
	if (opened.error_number == ELOOP)
		return fail(fault, E_MOUNT_SOURCE_LINK, 0, "%.150s is or goes through a symbolic link; name the real path", mount->source);
	if (opened.error_number != 0)
		return fail(fault, E_MOUNT_SOURCE_UNREADABLE, opened.error_number, "user %u cannot read %.150s", person->uid, mount->source);
	if (fd < 0)
		return fail(fault, E_INTERNAL, 0, "no descriptor came for %.150s", mount->source);
	if (opened.not_writable != 0)
		return fail(fault, E_MOUNT_SOURCE_UNREADABLE, EACCES, "user %u cannot write to %.150s", person->uid, mount->source);
	if (!S_ISDIR(opened.mode) && !S_ISREG(opened.mode))
		return fail(fault, E_MOUNT_SOURCE_TYPE, 0, "%.150s is neither a directory nor a regular file", mount->source);
	mount->flags |= opened.search_is_partial != 0 ? MOUNT_PROTECTION_PARTIAL : 0;
	*mode = opened.mode;
	return steal_fd(&fd);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from != '\0'; from++, to++) {
		bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
		*to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
		from += escaped ? 3 : 0;
	}
	*to = '\0';
}

static int mount_id_of(int fd, uint64_t *id)
{
	char path[64], text[2048];
	format_text(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -1;
	const char *line = strstr(text, "mnt_id:");
	*id = line == NULL ? 0 : strtoull(line + strlen("mnt_id:"), NULL, 10);
	return *id == 0 ? -1 : 0;
}

static bool is_in(const char *const names[], size_t count, const char *type)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], type) == 0)
			return true;
	return false;
}

/* One line of mountinfo against the source: its own mount must be of a known type, and none may stand below it. MOUNT_COPIED is set
 * when there must be a copy. */
static int check_mount_line(char *line, uint64_t own_id, const char *real_path, struct mount_request *mount, bool *seen, struct fault *fault)
{
	char point[4096], type[64];
	uint64_t id;
	char *separator = strstr(line, " - ");
	if (separator == NULL || sscanf(line, "%" SCNu64 " %*s %*s %*s %4095s", &id, point) != 2 || sscanf(separator + 3, "%63s", type) != 1)
		return fail(fault, E_INTERNAL, 0, "cannot understand a line of /proc/self/mountinfo");
	unescape(point);
	if (id == own_id) {
		*seen = true;
		bool is_answered = is_in(answered_filesystems, ARRAY_LENGTH(answered_filesystems), type) || strncmp(type, "fuse.", strlen("fuse.")) == 0;
		mount->flags |= is_answered ? MOUNT_COPIED : 0;
		if (!is_answered && !is_in(filesystems, ARRAY_LENGTH(filesystems), type))
			return fail(fault, E_MOUNT_FS_UNSUPPORTED, 0, "%.150s is on %s, which cannot be mounted into a sandbox", mount->source, type);
	}
	size_t length = strlen(real_path);
	if (strncmp(point, real_path, length) == 0 && (point[length] == '/' || (length == 1 && point[1] != '\0')))
		/* What a mount hides would show in the clone, which takes only the one mount. */
		return fail(fault, E_MOUNT_SOURCE_SUBMOUNTS, 0, "something is mounted below %.120s: %.80s", mount->source, point);
	return 0;
}

static int check_source(int fd, struct mount_request *mount, struct fault *fault)
{
	char link[64], real_path[4096];
	static char line[LINE_SIZE];
	uint64_t id;
	bool seen = false;
	format_text(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, real_path, sizeof(real_path) - 1);
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	if (length <= 0 || mounts == NULL || mount_id_of(fd, &id) != 0) {
		if (mounts != NULL)
			fclose(mounts);
		return fail(fault, E_INTERNAL, errno, "cannot find the mount of %.150s", mount->source);
	}
	real_path[length] = '\0';
	int checked = 0;
	while (checked == 0 && fgets(line, sizeof(line), mounts) != NULL)
		checked = check_mount_line(line, id, real_path, mount, &seen, fault);
	fclose(mounts);
	if (checked == 0 && !seen)
		return fail(fault, E_MOUNT_SOURCE_TYPE, 0, "the mount of %.150s is not in the host's mount table", mount->source);
	return checked;
}

/* The kernel is asked, with a clone that nobody sees. */
static bool can_be_idmapped(int source_fd, int idmap_probe_fd)
{
	struct mount_attr mapped = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)idmap_probe_fd };
	CLEANUP_FD int tree = open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &mapped, sizeof(mapped)) == 0;
}

static int clone_mount(int source_fd, const struct mount_request *mount, struct fault *fault)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (mount->mode == MOUNT_RW ? 0 : MOUNT_ATTR_RDONLY),
		.propagation = MS_PRIVATE,
	};
	CLEANUP_FD int tree = open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot clone the mount of %.150s", mount->source);
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot set the attributes of %.150s", mount->source);
	return steal_fd(&tree);
}

int mount_source_prepare(const struct person *person, int idmap_probe_fd, struct mount_request *mount, struct fault *fault)
{
	uint32_t mode = 0;
	bool writable = mount->mode == MOUNT_RW;
	mount->flags = 0;
	if (memchr(mount->source, '\0', sizeof(mount->source)) == NULL || mount->source[0] != '/')
		return fail(fault, E_MOUNT_SOURCE_UNREADABLE, 0, "the source of a mount must be an absolute path");
	CLEANUP_FD int paths_fd = writable ? memfd_create("protected", MFD_CLOEXEC) : -1;
	if (writable && paths_fd < 0)
		return fail(fault, E_SETUP_FAILED, errno, "no memory for the protected names of %.150s", mount->source);
	CLEANUP_FD int source_fd = open_as_person(person, mount, paths_fd, &mode, fault);
	if (source_fd < 0 || check_source(source_fd, mount, fault) != 0)
		return -1;
	if (mount->mode == MOUNT_STAGED && !S_ISDIR(mode))
		return fail(fault, E_MOUNT_SOURCE_TYPE, 0, "%.150s is a file, and only a directory can be staged", mount->source);
	if ((mount->flags & MOUNT_COPIED) != 0 || !can_be_idmapped(source_fd, idmap_probe_fd)) {
		if (writable)
			return fail(fault, E_GRANT_FS_UNSUPPORTED, 0, "the file system of %.150s cannot be idmapped", mount->source);
		return source_copy(person, source_fd, S_ISREG(mode), mount, fault);
	}
	CLEANUP_FD int tree = clone_mount(source_fd, mount, fault);
	if (tree < 0 || !writable || lseek(paths_fd, 0, SEEK_END) == 0)
		return steal_fd(&tree);
	return protected_names_cover(tree, paths_fd, mount, fault);
}
