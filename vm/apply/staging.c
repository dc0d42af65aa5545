/* The staging directory: new content is written and synced there, and what is replaced or deleted is moved there, until all is done. It
 * stands in the target, so that both are renames within one file system. */
#include "apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* As many file systems allow in all. */
enum { ATTRIBUTES_SIZE = 64 * 1024 };
/* Up to here each file is synced by itself; beyond, the whole file system once is faster. */
enum { SYNCED_SINGLY_MAX = 32 };

/* Access lists and the person's own attributes of the file that is replaced. What the file system does not keep is left out. */
static void copy_attributes(int from_fd, int to_fd)
{
	static char names[ATTRIBUTES_SIZE], value[ATTRIBUTES_SIZE];
	ssize_t size = flistxattr(from_fd, names, sizeof(names));
	for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
		if (strncmp(name, "user.", 5) != 0 && strcmp(name, "system.posix_acl_access") != 0)
			continue;
		ssize_t length = fgetxattr(from_fd, name, value, sizeof(value));
		if (length >= 0)
			fsetxattr(to_fd, name, value, (size_t)length, 0);
	}
}

/* The group that a file made in place would have: that of the file it replaces, or of a set-group-id directory. */
static void take_over(const struct target *target, const struct operation *operation, int fd)
{
	const char *name;
	struct stat parent, before;
	int parent_fd = target_open_parent(target, operation->path, &name);
	if (parent_fd < 0)
		return; /* a directory that is not made yet; then commit.c sees to it */
	gid_t group = (gid_t)-1;
	if (fstat(parent_fd, &parent) == 0 && (parent.st_mode & S_ISGID) != 0)
		group = parent.st_gid;
	if (operation->before.kind == ENTRY_FILE) {
		int before_fd = openat(parent_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (before_fd >= 0 && fstat(before_fd, &before) == 0 && S_ISREG(before.st_mode)) {
			group = before.st_gid;
			copy_attributes(before_fd, fd);
		}
		if (before_fd >= 0)
			close(before_fd);
	}
	/* Of a group that the person is not in: as any editor that saves by renaming. */
	if (group != (gid_t)-1 && fchown(fd, (uid_t)-1, group) != 0 && errno != EPERM)
		fatal("cannot set the group of a new file: %s", strerror(errno));
	close(parent_fd);
}

static bool copy_content(const struct archive *archive, const struct item *item, int fd)
{
	static char piece[256 * 1024];
	uint64_t done = 0;
	while (done < item->content_size) {
		uint64_t left = item->content_size - done;
		ssize_t count = pread(archive->fd, piece, left < sizeof(piece) ? (size_t)left : sizeof(piece), (off_t)(item->content_at + done));
		if (count <= 0)
			return false;
		for (ssize_t written = 0; written < count;) {
			ssize_t some = write(fd, piece + written, (size_t)(count - written));
			if (some < 0)
				return false;
			written += some;
		}
		done += (uint64_t)count;
	}
	return true;
}

static bool fill_one(const struct target *target, const struct archive *archive, struct operation *operation, bool sync_it)
{
	const struct item *item = &archive->items[operation->item];
	struct stat status;
	char name[16];
	snprintf(name, sizeof(name), "%u", operation->number);
	if (item->record == DIFF_LINK) {
		if (symlinkat(item->link, target->staging_fd, name) != 0)
			return false;
	} else {
		int fd = openat(target->staging_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return false;
		take_over(target, operation, fd);
		bool whole = copy_content(archive, item, fd) && fchmod(fd, item->mode) == 0 && (!sync_it || fsync(fd) == 0);
		if (close(fd) != 0 || !whole)
			return false;
	}
	if (fstatat(target->staging_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	operation->staged_inode = status.st_ino;
	step();
	return true;
}

bool staging_fill(struct target *target, struct archive *archive, struct plan *plan)
{
	bool singly = plan->staged <= SYNCED_SINGLY_MAX;
	if (mkdirat(target->fd, target->staging, 0700) != 0 || (target->staging_fd = target_open_directory(target, target->staging)) < 0)
		return false;
	step();
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->operations[i].kind != OPERATION_PUT || fill_one(target, archive, &plan->operations[i], singly))
			continue;
		archive->items[plan->operations[i].item].status = STATUS_FAILED;
		return false;
	}
	return singly ? fsync(target->staging_fd) == 0 && fsync(target->fd) == 0 : syncfs(target->fd) == 0;
}

/* Names that are no number are somebody else's, and stay with the directory. */
void staging_remove(struct target *target)
{
	int fd = target_open_directory(target, target->staging);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) || unlinkat(dirfd(entries), entry->d_name, 0) != 0)
			continue;
		step();
	}
	closedir(entries);
	if (target->staging_fd >= 0)
		close(target->staging_fd);
	target->staging_fd = -1;
	if (unlinkat(target->fd, target->staging, AT_REMOVEDIR) == 0)
		fsync(target->fd);
}
