/* One name of a diff: what each side has there, and the record of how they differ. */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int64_t nanoseconds(const struct statx_timestamp *time)
{
	return time->tv_sec * 1000000000 + time->tv_nsec;
}

static enum entry_kind kind_of(uint32_t type)
{
	if (type == S_IFREG)
		return ENTRY_FILE;
	if (type == S_IFDIR)
		return ENTRY_DIRECTORY;
	return type == S_IFLNK ? ENTRY_LINK : ENTRY_OTHER;
}

/* A side that cannot be asked has something there that is no file: never "absent", which would permit to create. */
void entry_look(int dir_fd, const char *name, struct entry *entry)
{
	struct statx found;
	*entry = (struct entry){ .kind = ENTRY_ABSENT, .born_ns = INT64_MAX };
	if (dir_fd < 0)
		return;
	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &found) != 0) {
		entry->kind = errno == ENOENT ? ENTRY_ABSENT : ENTRY_OTHER;
		return;
	}
	entry->type = found.stx_mode & S_IFMT;
	entry->kind = kind_of(entry->type);
	entry->mode = found.stx_mode & 07777;
	entry->links = found.stx_nlink;
	entry->size = found.stx_size;
	entry->inode = found.stx_ino;
	entry->modified_ns = nanoseconds(&found.stx_mtime);
	entry->changed_ns = nanoseconds(&found.stx_ctime);
	if ((found.stx_mask & STATX_BTIME) != 0)
		entry->born_ns = nanoseconds(&found.stx_btime);
	entry->is_whiteout = entry->type == S_IFCHR && found.stx_rdev_major == 0 && found.stx_rdev_minor == 0;
}

/* An overlay shows the inode number of the file below; with xino its topmost bits say which layer. A change time cannot be forged. */
bool entry_is_same_inode(const struct entry *a, const struct entry *b)
{
	return ((a->inode ^ b->inode) << 8) == 0 && a->type == b->type && a->size == b->size && a->changed_ns == b->changed_ns &&
	       a->modified_ns == b->modified_ns;
}

/* O_NONBLOCK: a FIFO put in place of the file must not hold us. -1 unless it is a regular file. */
static int open_file(int dir_fd, const char *name, struct stat *status)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, status) != 0 || !S_ISREG(status->st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool hash_file(struct diff *diff, int dir_fd, const char *name, uint64_t size, unsigned char digest[SHA256_SIZE])
{
	struct stat status;
	if (size > diff->hash_bytes_left)
		return false;
	int fd = open_file(dir_fd, name, &status);
	if (fd < 0)
		return false;
	diff->hash_bytes_left -= size;
	int result = sha256_fd(fd, digest);
	close(fd);
	return result == 0;
}

static bool hash_link(int dir_fd, const char *name, unsigned char digest[SHA256_SIZE])
{
	char target[DIFF_LINK_SIZE];
	struct sha256 hash;
	ssize_t length = readlinkat(dir_fd, name, target, sizeof(target));
	if (length < 0 || length == (ssize_t)sizeof(target))
		return false;
	sha256_start(&hash);
	sha256_add(&hash, target, (size_t)length);
	sha256_end(&hash, digest);
	return true;
}

bool diff_put(struct diff *diff, enum diff_record kind, const char *path, uint32_t flags, int old_fd, const char *name, const struct entry *old)
{
	unsigned char digest[SHA256_SIZE] = { 0 };
	bool hashed = true;
	if (diff->files_left == 0) {
		diff->truncated = diff->full = true;
		return false;
	}
	diff->files_left--;
	if (old->kind == ENTRY_FILE)
		hashed = hash_file(diff, old_fd, name, old->size, digest);
	else if (old->kind == ENTRY_LINK)
		hashed = hash_link(old_fd, name, digest);
	archive_put_number(&diff->out, kind, 1);
	archive_put_text(&diff->out, path);
	archive_put_number(&diff->out, flags | (hashed ? 0u : (uint32_t)DIFF_UNHASHED), 1);
	archive_put_number(&diff->out, old->kind, 1);
	archive_put_number(&diff->out, old->mode, 4);
	archive_put_number(&diff->out, old->kind == ENTRY_FILE ? old->size : 0, 8);
	archive_put_number(&diff->out, (uint64_t)old->modified_ns, 8);
	archive_put_number(&diff->out, old->inode, 8);
	archive_put(&diff->out, digest, sizeof(digest));
	return true;
}

void diff_refuse(struct diff *diff, const char *path, enum diff_reason reason, int old_fd, const char *name, const struct entry *old)
{
	if (reason == REFUSED_NAME_TOO_LONG || reason == REFUSED_TOO_DEEP || reason == REFUSED_OVER_BYTES || reason == REFUSED_OVER_FILES)
		diff->truncated = true;
	if (diff_put(diff, DIFF_REFUSED, path, 0, old_fd, name, old))
		archive_put_number(&diff->out, reason, 1);
}

static bool same_content(struct diff *diff, const struct sides *sides, const char *name, const struct entry *now, const struct entry *old)
{
	unsigned char ours[SHA256_SIZE], theirs[SHA256_SIZE];
	return old->kind == ENTRY_FILE && old->size == now->size && hash_file(diff, sides->new_fd, name, now->size, ours) &&
	       hash_file(diff, sides->old_fd, name, old->size, theirs) && memcmp(ours, theirs, sizeof(ours)) == 0;
}

void diff_file(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *now, const struct entry *old,
	       uint32_t flags)
{
	struct stat status;
	if ((now->mode & (S_ISUID | S_ISGID)) != 0) {
		diff_refuse(diff, path, REFUSED_SET_ID, sides->old_fd, name, old);
		return;
	}
	if (same_content(diff, sides, name, now, old)) {
		if ((now->mode & 0777) != (old->mode & 0777) && diff_put(diff, DIFF_MODE, path, flags, sides->old_fd, name, old))
			archive_put_number(&diff->out, now->mode & 0777, 4);
		return;
	}
	int fd = open_file(sides->new_fd, name, &status);
	if (fd < 0) {
		diff_refuse(diff, path, REFUSED_UNREADABLE, sides->old_fd, name, old);
		return;
	}
	uint64_t size = (uint64_t)status.st_size;
	if (size > diff->bytes_left) {
		diff_refuse(diff, path, REFUSED_OVER_BYTES, sides->old_fd, name, old);
	} else if (diff_put(diff, DIFF_FILE, path, flags, sides->old_fd, name, old)) {
		diff->bytes_left -= size;
		archive_put_number(&diff->out, now->mode & 0777, 4);
		archive_put_number(&diff->out, size, 8);
		archive_put_content(&diff->out, fd, size);
	}
	close(fd);
}

void diff_link(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *old, uint32_t flags)
{
	char target[DIFF_LINK_SIZE], before[DIFF_LINK_SIZE];
	ssize_t length = readlinkat(sides->new_fd, name, target, sizeof(target) - 1);
	if (length <= 0 || length == (ssize_t)sizeof(target) - 1) {
		diff_refuse(diff, path, REFUSED_UNREADABLE, sides->old_fd, name, old);
		return;
	}
	target[length] = '\0';
	if (old->kind == ENTRY_LINK && readlinkat(sides->old_fd, name, before, sizeof(before)) == length &&
	    memcmp(before, target, (size_t)length) == 0)
		return;
	if (diff_put(diff, DIFF_LINK, path, flags, sides->old_fd, name, old))
		archive_put_text(&diff->out, target);
}
