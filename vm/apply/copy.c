/* An undo copy: what a directory holds before it is granted for writing, as a tree in cohortd's state; and later, how the directory
 * differs from it, as an archive that apply takes back. Bounded: a directory that is too large has no copy. */
#include "apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct copying {
	const struct target *source;
	uint64_t bytes_left, files_left, skipped;
	bool is_full;
};

static bool copy_bytes(int from_fd, int to_fd)
{
	static char piece[256 * 1024];
	if (ioctl(to_fd, FICLONE, from_fd) == 0)
		return true;
	for (;;) {
		ssize_t count = read(from_fd, piece, sizeof(piece));
		if (count <= 0)
			return count == 0;
		for (ssize_t done = 0; done < count;) {
			ssize_t some = write(to_fd, piece + done, (size_t)(count - done));
			if (some < 0)
				return false;
			done += some;
		}
	}
}

/* What the person cannot read, the child cannot overwrite either, but it may delete it: that is counted and told. */
static void copy_file(struct copying *copying, int from_dir, int to_dir, const char *name)
{
	struct stat status;
	int from_fd = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (from_fd < 0 || fstat(from_fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		copying->skipped++;
	} else if ((uint64_t)status.st_size > copying->bytes_left) {
		copying->is_full = true;
	} else {
		copying->bytes_left -= (uint64_t)status.st_size;
		int to_fd = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (to_fd < 0 || !copy_bytes(from_fd, to_fd) || fchmod(to_fd, (status.st_mode & 0777) | 0400) != 0)
			fatal("cannot write the undo copy: %s", strerror(errno));
		close(to_fd);
	}
	if (from_fd >= 0)
		close(from_fd);
}

static void copy_directory(struct copying *copying, const char *path, int to_fd, unsigned int depth);

static void copy_entry(struct copying *copying, int from_dir, int to_dir, const char *prefix, const char *name, unsigned int depth)
{
	struct entry entry;
	char path[DIFF_PATH_SIZE];
	entry_look(from_dir, name, &entry);
	if (copying->files_left == 0) {
		copying->is_full = true;
		return;
	}
	copying->files_left--;
	if (entry.kind == ENTRY_FILE) {
		copy_file(copying, from_dir, to_dir, name);
	} else if (entry.kind == ENTRY_LINK) {
		char link[DIFF_LINK_SIZE];
		ssize_t length = readlinkat(from_dir, name, link, sizeof(link) - 1);
		if (length > 0 && length < (ssize_t)sizeof(link) - 1) {
			link[length] = '\0';
			if (symlinkat(link, to_dir, name) != 0)
				fatal("cannot write the undo copy: %s", strerror(errno));
		}
	} else if (entry.kind == ENTRY_DIRECTORY) {
		if (depth >= DIFF_DEPTH_MAX || snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/", name) >= (int)sizeof(path)) {
			copying->is_full = true;
			return;
		}
		if (mkdirat(to_dir, name, 0700) != 0)
			fatal("cannot write the undo copy: %s", strerror(errno));
		int to_fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (to_fd < 0)
			fatal("cannot write the undo copy: %s", strerror(errno));
		copy_directory(copying, path, to_fd, depth + 1);
		/* Only now: it may be one in which nothing can be made. */
		if (fchmod(to_fd, (entry.mode & 0777) | 0500) != 0)
			fatal("cannot write the undo copy: %s", strerror(errno));
		close(to_fd);
	} else if (entry.kind == ENTRY_OTHER) {
		copying->skipped++;
	}
}

static void copy_directory(struct copying *copying, const char *path, int to_fd, unsigned int depth)
{
	int fd = target_open_directory(copying->source, path);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		if (fd >= 0)
			close(fd);
		copying->skipped++;
		return;
	}
	for (struct dirent *entry = readdir(entries); entry != NULL && !copying->is_full; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			copy_entry(copying, dirfd(entries), to_fd, path, entry->d_name, depth);
	closedir(entries);
}

int copy_main(const char *source, const char *copy, uint64_t bytes_max, uint64_t files_max)
{
	static struct target target;
	struct copying copying = { .source = &target, .bytes_left = bytes_max, .files_left = files_max };
	target_set(&target, source);
	if (!target_open(&target)) {
		report_result("target-gone");
		return 0;
	}
	if (mkdir(copy, 0700) != 0)
		fatal("cannot make the undo copy: %s", strerror(errno));
	int to_fd = open(copy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to_fd < 0)
		fatal("cannot make the undo copy: %s", strerror(errno));
	copy_directory(&copying, "", to_fd, 0);
	if (!copying.is_full && syncfs(to_fd) != 0)
		fatal("cannot sync the undo copy: %s", strerror(errno));
	close(to_fd);
	printf("skipped %llu\n", (unsigned long long)copying.skipped);
	report_result(copying.is_full ? "too-large" : "copied");
	return 0;
}

/* The archive goes to descriptor 3: the copy as the new side, the directory as the old one. What is only in the directory stays. */
int compare_main(const char *target_path, const char *copy, uint64_t bytes_max, uint64_t files_max)
{
	static struct target target;
	static struct diff diff;
	target_set(&target, target_path);
	int copy_fd = open(copy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (copy_fd < 0 || !target_open(&target)) {
		report_result("target-gone");
		return 0;
	}
	diff.out.fd = 3;
	diff.bytes_left = bytes_max;
	diff.files_left = files_max;
	diff.hash_bytes_left = UINT64_MAX;
	diff.keeps_missing = true;
	struct sides root = { .new_fd = copy_fd, .upper_fd = -1, .old_fd = target.fd, .since_ns = INT64_MAX, .prefix = "" };
	report_result(diff_trees(&diff, &root) ? "compared" : "broken");
	return 0;
}
