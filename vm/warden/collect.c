/* Writes the files below ~/out as the archive that docs/design/wire.md defines.
 * Runs confined, with the child's own rights, after every other process of the
 * sandbox was killed. Follows no link, crosses nothing, trusts no name. */
#include "archive-writer.h"
#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum record { RECORD_END, RECORD_FILE, RECORD_SKIPPED };
enum skip_reason { NOT_REGULAR = 1, OVER_BYTES, OVER_FILES, UNREADABLE, NAME_TOO_LONG, TOO_DEEP };
enum { DEPTH_MAX = 64, PATH_SIZE_MAX = 4096, ENTRIES_MAX = 200000, SKIPS_MAX = 10000 };

static struct archive_writer out;

static struct {
	uint64_t bytes_left, files_left;
	uint32_t entries, skips;
	bool stopped;           /* a limit was reached: only the end record follows */
} archive;

static void skip(const char *path, enum skip_reason reason)
{
	archive_put_number(&out, RECORD_SKIPPED, 1);
	archive_put_text(&out, path);
	archive_put_number(&out, reason, 1);
	if (++archive.skips >= SKIPS_MAX)
		archive.stopped = true;
}

static void put_file(int dir_fd, const char *name, const char *path)
{
	struct stat status;
	/* O_NONBLOCK: a FIFO put in place of the file must not hold us. */
	CLEANUP_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) != 0) {
		skip(path, errno == ELOOP ? NOT_REGULAR : UNREADABLE);
		return;
	}
	if (!S_ISREG(status.st_mode)) {
		skip(path, NOT_REGULAR);
		return;
	}
	uint64_t size = (uint64_t)status.st_size;
	if (archive.files_left == 0) {
		skip(path, OVER_FILES);
		archive.stopped = true;
		return;
	}
	if (size > archive.bytes_left) {
		skip(path, OVER_BYTES);
		return;
	}
	archive.files_left--;
	archive.bytes_left -= size;
	archive_put_number(&out, RECORD_FILE, 1);
	archive_put_text(&out, path);
	archive_put_number(&out, status.st_mode & 07777, 4);
	archive_put_number(&out, size, 8);
	archive_put_content(&out, fd, size);
}

static void walk(int dir_fd, const char *prefix, unsigned int depth);

static void walk_entry(int dir_fd, const char *name, const char *prefix, unsigned int depth)
{
	char path[PATH_SIZE_MAX] = "";
	struct stat status;
	if (!append_text(path, sizeof(path), "%s%s", prefix, name)) {
		skip(prefix, NAME_TOO_LONG);
		return;
	}
	if (++archive.entries > ENTRIES_MAX) {
		skip(path, OVER_FILES);
		archive.stopped = true;
	} else if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
		skip(path, UNREADABLE);
	} else if (S_ISREG(status.st_mode)) {
		put_file(dir_fd, name, path);
	} else if (!S_ISDIR(status.st_mode)) {
		skip(path, NOT_REGULAR);
	} else if (depth >= DEPTH_MAX) {
		skip(path, TOO_DEEP);
	} else {
		int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			skip(path, UNREADABLE);
		else if (!append_text(path, sizeof(path), "/"))
			skip(prefix, NAME_TOO_LONG), close(fd);
		else
			walk(fd, path, depth + 1);
	}
}

/* Takes the descriptor. */
static void walk(int dir_fd, const char *prefix, unsigned int depth)
{
	DIR *entries = fdopendir(dir_fd);
	if (entries == NULL) {
		skip(prefix, UNREADABLE);
		close(dir_fd);
		return;
	}
	for (struct dirent *entry = readdir(entries); entry != NULL && !archive.stopped && !out.broken; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			walk_entry(dir_fd, entry->d_name, prefix, depth);
	closedir(entries);
}

int collect_archive(const char *home, int fd, const char *max_bytes, const char *max_files)
{
	out.fd = fd;
	archive.bytes_left = strtoull(max_bytes, NULL, 10);
	archive.files_left = strtoull(max_files, NULL, 10);
	CLEANUP_FD int home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* The child may have removed its out, or made it something else: then there is nothing to collect. */
	int out_fd = openat(home_fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (out_fd >= 0)
		walk(out_fd, "", 0);
	else if (errno != ENOENT)
		skip(".", errno == ENOTDIR || errno == ELOOP ? NOT_REGULAR : UNREADABLE);
	archive_put_number(&out, RECORD_END, 1);
	archive_flush(&out);
	return out.broken ? EXIT_FAILURE : EXIT_SUCCESS;
}
