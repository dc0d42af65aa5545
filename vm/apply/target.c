/* The directory that is written to: every path is resolved by the kernel below it, through no link and into no other mount. */
#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_how(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };
	int fd;
	/* EAGAIN: something was renamed meanwhile. */
	for (int tries = 0; tries < 100; tries++) {
		fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return -1;
}

void target_set(struct target *target, const char *path)
{
	size_t length = strlen(path);
	if (path[0] != '/' || length >= sizeof(target->path))
		fatal("the target is no absolute path");
	*target = (struct target){ .fd = -1, .staging_fd = -1 };
	memcpy(target->path, path, length + 1);
}

/* False with errno; then nothing of it is open. */
bool target_open(struct target *target)
{
	struct stat status;
	target->fd = open_how(AT_FDCWD, target->path, O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (target->fd < 0 || fstat(target->fd, &status) != 0)
		return false;
	target->device = status.st_dev;
	target->inode = status.st_ino;
	return true;
}

int target_open_directory(const struct target *target, const char *path)
{
	return open_how(target->fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

int target_open_parent(const struct target *target, const char *path, const char **name)
{
	char parent[DIFF_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t)(slash - path);
	*name = slash == NULL ? path : slash + 1;
	if (length >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, length);
	parent[length] = '\0';
	return target_open_directory(target, parent);
}

void identity_look(int dir_fd, const char *name, struct identity *identity)
{
	struct entry entry;
	entry_look(dir_fd, name, &entry);
	*identity = (struct identity){ .kind = entry.kind, .mode = entry.mode, .inode = entry.inode, .size = entry.size,
				       .modified_ns = entry.modified_ns };
}

/* Not the change time: a rename sets it. */
bool identity_is_same(const struct identity *a, const struct identity *b)
{
	return a->kind == b->kind && (a->kind == ENTRY_ABSENT || (a->inode == b->inode && (a->kind == ENTRY_DIRECTORY ||
	       (a->size == b->size && a->modified_ns == b->modified_ns))));
}

static bool matches_link(int dir_fd, const char *name, const struct item *item)
{
	char link[DIFF_LINK_SIZE];
	unsigned char digest[SHA256_SIZE];
	struct sha256 hash;
	ssize_t length = readlinkat(dir_fd, name, link, sizeof(link));
	if (length < 0 || length == (ssize_t)sizeof(link))
		return false;
	sha256_start(&hash);
	sha256_add(&hash, link, (size_t)length);
	sha256_end(&hash, digest);
	return memcmp(digest, item->before_digest, sizeof(digest)) == 0;
}

bool matches_before(int dir_fd, const char *name, const struct item *item, const struct identity *found)
{
	unsigned char digest[SHA256_SIZE];
	if (found->kind != item->before_kind)
		return false;
	if (found->kind == ENTRY_LINK)
		return matches_link(dir_fd, name, item);
	if (found->kind != ENTRY_FILE)
		return true;
	if (found->size != item->before_size)
		return false;
	if ((item->flags & DIFF_UNHASHED) != 0)
		return found->inode == item->before_inode && found->modified_ns == item->before_modified_ns;
	int fd = open_how(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (fd < 0)
		return false;
	bool same = sha256_fd(fd, digest) == 0 && memcmp(digest, item->before_digest, sizeof(digest)) == 0;
	close(fd);
	return same;
}
