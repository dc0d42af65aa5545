/* Writes the files below ~/out as the archive that docs/design/wire.md defines.
 * Runs confined, with the child's own rights, after every other process of the
 * sandbox was killed. Follows no link, crosses nothing, trusts no name. */
#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum record { RECORD_END, RECORD_FILE, RECORD_SKIPPED };
enum skip_reason { NOT_REGULAR = 1, OVER_BYTES, OVER_FILES, UNREADABLE, NAME_TOO_LONG, TOO_DEEP };
enum { DEPTH_MAX = 64, PATH_SIZE_MAX = 4096, ENTRIES_MAX = 200000, SKIPS_MAX = 10000 };

static struct {
	int fd;
	uint64_t bytes_left, files_left;
	uint32_t entries, skips;
	bool stopped;           /* a limit was reached: only the end record follows */
	bool broken;            /* the reader is gone, or a file changed: no end record, so that the collection fails */
	size_t used;
	unsigned char buffer[64 * 1024];
} archive;

static void flush(void)
{
	for (size_t done = 0; done < archive.used && !archive.broken;) {
		ssize_t count = write(archive.fd, archive.buffer + done, archive.used - done);
		if (count > 0)
			done += (size_t)count;
		else if (errno != EINTR)
			archive.broken = true;
	}
	archive.used = 0;
}

static void put(const void *data, size_t size)
{
	const unsigned char *from = data;
	while (size > 0 && !archive.broken) {
		size_t room = sizeof(archive.buffer) - archive.used;
		size_t count = size < room ? size : room;
		memcpy(archive.buffer + archive.used, from, count);
		archive.used += count;
		from += count;
		size -= count;
		if (archive.used == sizeof(archive.buffer))
			flush();
	}
}

/* Big-endian, of the given width in bytes. */
static void put_number(uint64_t number, size_t width)
{
	unsigned char bytes[8];
	for (size_t i = 0; i < width; i++)
		bytes[i] = (unsigned char)(number >> (8 * (width - 1 - i)));
	put(bytes, width);
}

static void put_path(const char *path)
{
	size_t length = strnlen(path, UINT16_MAX);
	put_number(length, 2);
	put(path, length);
}

static void skip(const char *path, enum skip_reason reason)
{
	put_number(RECORD_SKIPPED, 1);
	put_path(path);
	put_number(reason, 1);
	if (++archive.skips >= SKIPS_MAX)
		archive.stopped = true;
}

static void put_content(int fd, uint64_t size)
{
	static unsigned char piece[64 * 1024];
	while (size > 0 && !archive.broken) {
		ssize_t count = read(fd, piece, size < sizeof(piece) ? (size_t)size : sizeof(piece));
		if (count <= 0) {
			/* Its size is already written: shorter content would be read as the next record. */
			archive.broken = true;
			return;
		}
		put(piece, (size_t)count);
		size -= (uint64_t)count;
	}
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
	put_number(RECORD_FILE, 1);
	put_path(path);
	put_number(status.st_mode & 07777, 4);
	put_number(size, 8);
	put_content(fd, size);
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
	for (struct dirent *entry = readdir(entries); entry != NULL && !archive.stopped && !archive.broken; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			walk_entry(dir_fd, entry->d_name, prefix, depth);
	closedir(entries);
}

int collect_archive(const char *home, int fd, const char *max_bytes, const char *max_files)
{
	archive.fd = fd;
	archive.bytes_left = strtoull(max_bytes, NULL, 10);
	archive.files_left = strtoull(max_files, NULL, 10);
	CLEANUP_FD int home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* The child may have removed its out, or made it something else: then there is nothing to collect. */
	int out_fd = openat(home_fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (out_fd >= 0)
		walk(out_fd, "", 0);
	else if (errno != ENOENT)
		skip(".", errno == ENOTDIR || errno == ELOOP ? NOT_REGULAR : UNREADABLE);
	put_number(RECORD_END, 1);
	flush();
	return archive.broken ? EXIT_FAILURE : EXIT_SUCCESS;
}
