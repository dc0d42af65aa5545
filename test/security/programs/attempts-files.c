/* Ways out by files: links, descriptors, attributes, control calls of file systems, and what /proc offers. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attempt.h"

static long write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	return fd < 0 ? -1 : write(fd, text, strlen(text));
}

static long write_to(char **arguments)
{
	return write_text(arguments[0], arguments[1]);
}

static long inherited_descriptor(char **arguments)
{
	(void)arguments;
	for (int fd = 3; fd < 65536; fd++) {
		if (fcntl(fd, F_GETFD) != -1)
			return fd;
	}
	errno = EBADF;
	return -1;
}

/* Up and up, from a directory that has no parent any more and from the root. */
static long dot_dot(char **arguments)
{
	(void)arguments;
	for (int removed = 1; removed >= 0; removed--) {
		if (removed == 1 && (mkdir("gone", 0700) != 0 || chdir("gone") != 0 || rmdir("../gone") != 0))
			return -1;
		for (int i = 0; i < 64 && chdir("..") == 0; i++) {
			if (access("etc/shadow", F_OK) == 0 || access("root", F_OK) == 0)
				return gained("a root of the machine");
		}
	}
	errno = ENOENT;
	return -1;
}

static long link_of_descriptor(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);
	return fd < 0 ? -1 : linkat(fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH);
}

static long link_through_proc(char **arguments)
{
	char path[64];
	int fd = open(arguments[0], O_RDONLY);
	if (fd < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW);
}

/* A descriptor without a right, opened again with one. */
static long reopen_writable(char **arguments)
{
	char path[64];
	int flags[] = { O_RDONLY, O_PATH };
	for (int i = 0; i < 2; i++) {
		int fd = open(arguments[0], flags[i]);
		if (fd < 0)
			return -1;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (open(path, O_WRONLY) >= 0 || open(path, O_RDWR | O_TRUNC) >= 0)
			return gained("opened for writing");
	}
	return -1;
}

static long unnamed_set_id_file(char **arguments)
{
	int fd = open(arguments[0] ? arguments[0] : ".", O_TMPFILE | O_RDWR, 0700);
	if (fd < 0)
		return -1;
	return fchmod(fd, 04755);
}

/* Less than what was set when this process was made. */
static long lower_oom_score(char **arguments)
{
	char text[32] = "";
	(void)arguments;
	int fd = open("/proc/self/oom_score_adj", O_RDWR);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		return -1;
	snprintf(text, sizeof text, "%d", atoi(text) - 1);
	return pwrite(fd, text, strlen(text), 0);
}

static long control(char **arguments)
{
	static unsigned char zeros[8192];
	int fd = open(arguments[0], O_RDONLY);
	if (fd < 0)
		return -1;
	if (arguments[2])
		memcpy(zeros, arguments[2], strlen(arguments[2]));
	return ioctl(fd, strtoul(arguments[1], NULL, 0), zeros);
}

/* Makes a file that nobody, and not the person who owns the directory, can change again. */
static long immutable_file(char **arguments)
{
	int fd = open("immutable", O_RDWR | O_CREAT, 0600);
	unsigned int flags = 0x10; /* FS_IMMUTABLE_FL */
	(void)arguments;
	return fd < 0 ? -1 : ioctl(fd, _IOW('f', 2, long), &flags);
}

static int found_writable;

static void walk_writable(const char *directory, int depth)
{
	DIR *entries = depth > 8 ? NULL : opendir(directory);
	if (!entries)
		return;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
		char path[4096];
		struct stat status;
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		if (lstat(path, &status) != 0)
			continue;
		if (S_ISDIR(status.st_mode))
			walk_writable(path, depth + 1);
		if (!S_ISREG(status.st_mode))
			continue;
		int fd = open(path, O_WRONLY | O_NONBLOCK);
		if (fd >= 0) {
			fprintf(stderr, "writable: %s\n", path);
			found_writable++;
			close(fd);
		}
	}
	closedir(entries);
}

/* No file of the machine below these can be opened for writing. */
static long writable_below(char **arguments)
{
	for (int i = 0; arguments[i]; i++)
		walk_writable(arguments[i], 0);
	if (found_writable > 0)
		return found_writable;
	errno = EACCES;
	return -1;
}

/* Other devices than the harmless five, sockets, and block devices. */
static int odd_file(const struct stat *status)
{
	if (S_ISBLK(status->st_mode) || S_ISSOCK(status->st_mode))
		return 1;
	if (!S_ISCHR(status->st_mode))
		return 0;
	unsigned int number = minor(status->st_rdev);
	return major(status->st_rdev) != 1 || (number != 3 && number != 5 && number != 7 && number != 8 && number != 9);
}

static long odd_files_in(const char *directory, int depth)
{
	long found = 0;
	DIR *entries = depth > 6 ? NULL : opendir(directory);
	if (!entries)
		return 0;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
		char path[4096];
		struct stat status;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		if (lstat(path, &status) != 0)
			continue;
		if (odd_file(&status)) {
			fprintf(stderr, "odd file: %s\n", path);
			found++;
		}
		if (S_ISDIR(status.st_mode) && strcmp(path, "//proc") != 0 && strcmp(path, "//usr") != 0)
			found += odd_files_in(path, depth + 1);
	}
	closedir(entries);
	return found;
}

static long odd_files(char **arguments)
{
	long found = odd_files_in(arguments[0], 0);
	if (found > 0)
		return found;
	errno = ENOENT;
	return -1;
}

/* Mounts of the machine that would appear here later, and ours there. */
static long mount_propagation(char **arguments)
{
	char line[4096];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	(void)arguments;
	if (!mounts)
		return -1;
	while (fgets(line, sizeof line, mounts)) {
		if (strstr(line, " shared:") || strstr(line, " master:") || strstr(line, " propagate_from:"))
			return gained("a mount that is shared");
	}
	return no_gain();
}

/* Memory of this process by its address: the kernel demands a capability for the links, whoever owns them. */
static long map_files(char **arguments)
{
	DIR *entries = opendir("/proc/self/map_files");
	(void)arguments;
	if (!entries)
		return -1;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
		if (entry->d_name[0] != '.' && openat(dirfd(entries), entry->d_name, O_RDWR) >= 0)
			return gained("opened for writing");
	}
	errno = EPERM;
	return -1;
}

/* An exchange puts the child's own directory where the warden mounts grants. */
static long exchange(char **arguments)
{
	if (mkdir("mine", 0700) != 0)
		return -1;
	return renameat2(AT_FDCWD, "mine", AT_FDCWD, arguments[0], RENAME_EXCHANGE);
}

/* Something of a file, and not only that it is there. */
static long read_some(char **arguments)
{
	char byte;
	int fd = open(arguments[0], O_RDONLY | O_NONBLOCK);
	ssize_t count = fd < 0 ? -1 : read(fd, &byte, 1);
	if (count == 0)
		errno = ENODATA;
	return count == 0 ? -1 : count;
}

/* Lines `00000000-00000fff : what`: everyone may read them, with zeros for addresses. */
static long addresses_in(char **arguments)
{
	char line[256];
	FILE *file = fopen(arguments[0], "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof line, file)) {
		if (strtoull(line, NULL, 16) != 0)
			return gained("an address");
	}
	return no_gain();
}

static long own_cgroups(char **arguments)
{
	char line[4096];
	FILE *file = fopen("/proc/self/cgroup", "re");
	(void)arguments;
	if (!file)
		return -1;
	while (fgets(line, sizeof line, file)) {
		const char *path = strrchr(line, ':');
		if (path && strcmp(path, ":/\n") != 0)
			return gained("a path of a cgroup");
	}
	return no_gain();
}

/* CAP_SYS_ADMIN for whoever executes it, as the kernel writes it (version 2). */
static long capable_file(char **arguments)
{
	static const unsigned char capability[20] = { 0x01, 0, 0, 0x02, 0, 0, 0x20 };
	int fd = open("capable", O_WRONLY | O_CREAT, 0700);
	(void)arguments;
	return fd < 0 ? -1 : fsetxattr(fd, "security.capability", capability, sizeof capability, 0);
}

static long chown_own(char **arguments)
{
	int fd = open("chowned", O_WRONLY | O_CREAT, 0600);
	return fd < 0 ? -1 : fchown(fd, (uid_t)atol(arguments[0]), (gid_t)-1);
}

static long lease(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);
	return fd < 0 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK);
}

const struct attempt file_attempts[] = {
	{ "write-to", write_to }, { "inherited-descriptor", inherited_descriptor }, { "dot-dot", dot_dot },
	{ "link-of-descriptor", link_of_descriptor }, { "link-through-proc", link_through_proc }, { "reopen-writable", reopen_writable },
	{ "unnamed-set-id-file", unnamed_set_id_file }, { "lower-oom-score", lower_oom_score }, { "control", control },
	{ "immutable-file", immutable_file }, { "writable-below", writable_below }, { "odd-files", odd_files },
	{ "mount-propagation", mount_propagation }, { "map-files", map_files }, { "exchange", exchange }, { "lease", lease },
	{ "read-some", read_some }, { "addresses-in", addresses_in }, { "own-cgroups", own_cgroups }, { "capable-file", capable_file },
	{ "chown-own", chown_own },
	{ NULL, NULL },
};
