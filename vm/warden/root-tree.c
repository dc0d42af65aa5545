/* Builds, once, the root that every sandbox starts from, and moves the zygote
 * into it. A child's CLONE_NEWNS then copies about a dozen mounts, not the
 * host's, and the host's tree cannot be reached from there at all.
 *
 * Reads from the host: /usr and its like as mounts, and files of /etc that
 * everyone may read, from a fixed list. Never a home, /var, or a secret. */
#include "sandbox.h"

#include "confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { COPY_DEPTH_MAX = 6, COPY_ENTRIES_MAX = 8192, COPY_FILE_BYTES_MAX = 8 << 20, COPY_BYTES_MAX = 32 << 20 };

static unsigned int copied_entries;
static int64_t copied_bytes;

/* What programs want of /etc: loader, certificates, time, names of ports and types, and the directories that distributions keep
 * a language's own settings in. Not npmrc, gitconfig, netrc and the like: they may hold tokens. */
static const char *const etc_patterns[] = {
	"alternatives", "ca-certificates", "crypto-policies", "pki", "ssl", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
	"timezone", "*-release", "debian_version", "mime.types", "services", "protocols", "python3*", "perl", "java-*", "fonts",
	"terminfo", "inputrc", "magic*", "locale.alias", "locale.conf", "ImageMagick-*", "R", "gprofng.rc",
};

static int make_tmpfs(const char *size, unsigned int attributes)
{
	CLEANUP_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) != 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		die_errno("cannot make a tmpfs for the sandboxes' root");
	int mount_fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
	if (mount_fd < 0)
		die_errno("cannot mount a tmpfs for the sandboxes' root");
	return mount_fd;
}

static void attach(int mount_fd, int dir_fd, const char *path)
{
	if (move_mount(mount_fd, "", dir_fd, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		die_errno("cannot mount on %s in the sandboxes' root", path);
}

static void make_dir(int dir_fd, const char *path, mode_t mode)
{
	if (mkdirat(dir_fd, path, mode) != 0 || fchmodat(dir_fd, path, mode, 0) != 0)
		die_errno("cannot make %s in the sandboxes' root", path);
}

static void make_link(const char *target, int dir_fd, const char *path)
{
	if (symlinkat(target, dir_fd, path) != 0)
		die_errno("cannot make the link %s in the sandboxes' root", path);
}

static void make_file(int dir_fd, const char *path, const char *text)
{
	CLEANUP_FD int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	size_t length = strlen(text);
	if (fd < 0 || fchmod(fd, 0444) != 0 || write(fd, text, length) != (ssize_t)length)
		die_errno("cannot make %s in the sandboxes' root", path);
}

/* A host directory, with what is mounted below it, read-only. */
static void bind_read_only(const char *source, int root_fd, const char *target)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE };
	CLEANUP_FD int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		die_errno("cannot clone the mount of %s", source);
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) != 0)
		die_errno("cannot make %s read-only", source);
	make_dir(root_fd, target, 0755);
	attach(tree, root_fd, target);
}

static void copy_regular(int from_dir, int to_dir, const char *name, const struct stat *status)
{
	if ((status->st_mode & S_IROTH) == 0 || status->st_size > COPY_FILE_BYTES_MAX)
		return;
	copied_bytes += status->st_size;
	if (copied_bytes > COPY_BYTES_MAX)
		die("the files of /etc that sandboxes get are more than %d bytes", COPY_BYTES_MAX);
	CLEANUP_FD int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	CLEANUP_FD int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (from < 0 || to < 0)
		die_errno("cannot copy %s of /etc", name);
	for (off_t left = status->st_size; left > 0;) {
		ssize_t count = sendfile(to, from, NULL, (size_t)left);
		if (count < 0)
			die_errno("cannot copy %s of /etc", name);
		if (count == 0)
			break;
		left -= count;
	}
	if (fchmod(to, status->st_mode & 0444) != 0)
		die_errno("cannot copy %s of /etc", name);
}

static void copy_entry(int from_dir, int to_dir, const char *name, unsigned int depth);

static void copy_directory(int from_dir, int to_dir, const char *name, unsigned int depth)
{
	int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0)
		die_errno("cannot copy %s of /etc", name);
	make_dir(to_dir, name, 0755);
	CLEANUP_FD int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *entries = fdopendir(from);
	if (to < 0 || entries == NULL)
		die_errno("cannot copy %s of /etc", name);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			copy_entry(from, to, entry->d_name, depth + 1);
	closedir(entries);
}

static void copy_entry(int from_dir, int to_dir, const char *name, unsigned int depth)
{
	struct stat status;
	if (depth > COPY_DEPTH_MAX || ++copied_entries > COPY_ENTRIES_MAX || fstatat(from_dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	if (S_ISREG(status.st_mode)) {
		copy_regular(from_dir, to_dir, name, &status);
	} else if (S_ISDIR(status.st_mode)) {
		if ((status.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH))
			copy_directory(from_dir, to_dir, name, depth);
	} else if (S_ISLNK(status.st_mode)) {
		char target[4096];
		ssize_t length = readlinkat(from_dir, name, target, sizeof(target) - 1);
		if (length < 0)
			die_errno("cannot copy the link %s of /etc", name);
		target[length] = '\0';
		make_link(target, to_dir, name);
	}
}

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(etc_patterns); i++)
		if (fnmatch(etc_patterns[i], name, FNM_PERIOD) == 0)
			return true;
	return false;
}

static void build_etc(int root_fd)
{
	make_dir(root_fd, "etc", 0755);
	CLEANUP_FD int etc = openat(root_fd, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (etc < 0)
		die_errno("cannot open the sandboxes' /etc");
	DIR *entries = opendir("/etc");
	if (entries == NULL)
		die_errno("cannot read /etc");
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
		if (is_wanted(entry->d_name))
			copy_entry(dirfd(entries), etc, entry->d_name, 0);
	closedir(entries);
	/* Each sandbox mounts its own root-owned directory here: the one user's name and home differ. */
	make_dir(etc, "cohort", 0755);
	make_link("cohort/passwd", etc, "passwd");
	make_link("cohort/group", etc, "group");
	make_link("/proc/self/mounts", etc, "mtab");
	make_file(etc, "hosts", "127.0.0.1 localhost\n::1 localhost\n");
	make_file(etc, "nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n");
	make_file(etc, "resolv.conf", "");
	make_file(etc, "shells", "/bin/sh\n/bin/bash\n");
}

static void build_dev(int root_fd)
{
	static const struct {
		const char *name;
		unsigned int minor;
	} devices[] = { { "null", 3 }, { "zero", 5 }, { "full", 7 }, { "random", 8 }, { "urandom", 9 } };
	/* The one file system without nodev, and so without anything that a child may create. */
	CLEANUP_FD int mount_fd = make_tmpfs("64k", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	for (size_t i = 0; i < ARRAY_LENGTH(devices); i++)
		if (mknodat(mount_fd, devices[i].name, S_IFCHR | 0666, makedev(1, devices[i].minor)) != 0 ||
		    fchmodat(mount_fd, devices[i].name, 0666, 0) != 0)
			die_errno("cannot make the device %s", devices[i].name);
	make_link("/proc/self/fd", mount_fd, "fd");
	make_link("/proc/self/fd/0", mount_fd, "stdin");
	make_link("/proc/self/fd/1", mount_fd, "stdout");
	make_link("/proc/self/fd/2", mount_fd, "stderr");
	make_dir(mount_fd, "shm", 0755);
	make_dir(root_fd, "dev", 0755);
	attach(mount_fd, root_fd, "dev");
}

/* Read-only for the file system itself: then even a writable mount of it cannot write. */
static void seal(int dir_fd, const char *path)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	CLEANUP_FD int context = fspick(dir_fd, path, FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) != 0 ||
	    mount_setattr(dir_fd, path, 0, &attributes, sizeof(attributes)) != 0)
		die_errno("cannot make %s of the sandboxes' root read-only", path);
}

static void build_system(int root_fd)
{
	static const char *const names[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32" };
	bind_read_only("/usr", root_fd, "usr");
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		char source[16], target[256];
		struct stat status;
		format_text(source, sizeof(source), "/%s", names[i]);
		if (lstat(source, &status) != 0)
			continue;
		if (S_ISDIR(status.st_mode)) {
			bind_read_only(source, root_fd, names[i]);
			continue;
		}
		ssize_t length = readlink(source, target, sizeof(target) - 1);
		if (length < 0)
			die_errno("cannot read the link %s", source);
		target[length] = '\0';
		make_link(target, root_fd, names[i]);
	}
}

void root_tree_enter(void)
{
	static const char *const directories[] = { "proc", "sessions", "tmp", "run", "var" };
	umask(0);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die_errno("cannot make a mount namespace for the sandboxes' root");
	/* Not noexec, for cohort-child: nothing else in it has an execute bit, and a child can execute what it writes itself anyway. */
	CLEANUP_FD int root_fd = make_tmpfs("48m", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	for (size_t i = 0; i < ARRAY_LENGTH(directories); i++)
		make_dir(root_fd, directories[i], 0755);
	make_link("/tmp", root_fd, "var/tmp");
	make_link("/run", root_fd, "var/run");
	make_file(root_fd, LANDLOCK_CANARY + 1, "");
	make_file(root_fd, "run/blank", "");
	make_dir(root_fd, "run/empty", 0555);
	child_tool_place(root_fd);
	build_etc(root_fd);
	/* Attached before anything is mounted in it: kernels before 6.15 mount nothing in a detached tree. Any directory of the
	 * host serves as the place, in this namespace of ours alone. */
	attach(root_fd, AT_FDCWD, "/proc");
	build_system(root_fd);
	build_dev(root_fd);
	seal(root_fd, "dev");
	if (fchdir(root_fd) != 0)
		die_errno("cannot enter the sandboxes' root");
	seal(AT_FDCWD, ".");
	/* The old root ends up below the new one and is detached there: no path leads to the host any more. */
	if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		die_errno("cannot leave the host's root");
	umask(022);
}
