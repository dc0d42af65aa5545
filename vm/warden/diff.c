/* The walk of a diff: both sides of each directory, in step.
 *
 * With an overlay the new side is the merged view, and `upper` what the child changed. Which directories of the new side were renamed
 * or emptied is written in attributes that only root may read, so it is found by comparing: a file that stands in the merged view but
 * not in upper is either the old side's own inode at this path (then nothing happened here), or it came with a renamed directory. */
#include "diff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names held at a time in one directory, and looked at in all: far above any tree whose files fit the limits. */
enum { NAMES_MAX = 250000, ENTRIES_MAX = 1000000, WITNESSES_MAX = 64 };

/* The names of one directory, sorted. */
struct names {
	char *bytes;            /* each ends with NUL */
	const char **list;
	size_t used, room, count;
};

static void names_free(struct names *names)
{
	free(names->bytes);
	free(names->list);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names_have(const struct names *names, const char *name)
{
	return names->count > 0 && bsearch(&name, names->list, names->count, sizeof(names->list[0]), compare_names) != NULL;
}

static bool names_add(struct names *names, const char *name)
{
	size_t length = strlen(name) + 1;
	if (names->count >= NAMES_MAX)
		return false;
	if (length > names->room - names->used) {
		size_t room = 2 * names->room + 4096;
		char *bytes = realloc(names->bytes, room);
		if (bytes == NULL)
			return false;
		names->bytes = bytes;
		names->room = room;
	}
	memcpy(names->bytes + names->used, name, length);
	names->used += length;
	names->count++;
	return true;
}

static bool names_sort(struct names *names)
{
	const char *at = names->bytes;
	names->list = calloc(names->count + 1, sizeof(names->list[0]));
	if (names->list == NULL) {
		names->count = 0;
		return false;
	}
	for (size_t i = 0; i < names->count; i++, at += strlen(at) + 1)
		names->list[i] = at;
	if (names->count > 1)
		qsort(names->list, names->count, sizeof(names->list[0]), compare_names);
	return true;
}

/* Sorted. False when the directory could not be read whole; what was read stands in names. */
static bool names_read(struct diff *diff, int dir_fd, struct names *names)
{
	*names = (struct names){ 0 };
	if (dir_fd < 0)
		return true;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	errno = 0;
	bool whole = true;
	for (struct dirent *entry = readdir(entries); entry != NULL && whole; entry = readdir(entries))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			whole = ++diff->entries <= ENTRIES_MAX && names_add(names, entry->d_name);
	whole = whole && errno == 0;
	closedir(entries);
	return names_sort(names) && whole;
}

static int open_directory(int dir_fd, const char *name)
{
	return dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* One file that is not in upper, has one name only, and is the old side's own: so this directory shows that of the old side. */
static bool is_merge(const struct sides *sides, const struct names *names)
{
	unsigned int looked_at = 0;
	for (size_t i = 0; i < names->count && looked_at < WITNESSES_MAX; i++) {
		struct entry now, upper, old;
		entry_look(sides->old_fd, names->list[i], &old);
		if (old.kind == ENTRY_ABSENT || old.kind == ENTRY_DIRECTORY || old.links != 1)
			continue;
		looked_at++;
		entry_look(sides->upper_fd, names->list[i], &upper);
		entry_look(sides->new_fd, names->list[i], &now);
		if (upper.kind == ENTRY_ABSENT)
			return entry_is_same_inode(&now, &old);
	}
	return false;
}

static bool join_path(char path[DIFF_PATH_SIZE], const char *prefix, const char *name)
{
	size_t before = strlen(prefix), length = strlen(name);
	if (before + length + 2 > DIFF_PATH_SIZE)
		return false;
	memcpy(path, prefix, before);
	memcpy(path + before, name, length + 1);
	return true;
}

static bool goes_on(const struct diff *diff)
{
	return !diff->out.broken && !diff->full && diff->entries <= ENTRIES_MAX;
}

/* The time since when the old side must not have changed: that of the name's own place in upper, or of the nearest directory that has one. */
static uint32_t conflict_flag(const struct entry *old, int64_t since_ns)
{
	/* Clocks of file systems tick coarsely: the same tick may have been before or after. */
	return old->kind != ENTRY_ABSENT && old->kind != ENTRY_DIRECTORY && old->changed_ns >= since_ns ? DIFF_CONFLICT : 0;
}

static void walk(struct diff *diff, const struct sides *sides);

/* What lay below a name of the old side, and then the name itself; `itself` is false where something else took its place. */
static void put_deleted(struct diff *diff, const struct sides *sides, const char *name, const struct entry *old, int64_t since_ns, bool itself)
{
	char path[DIFF_PATH_SIZE];
	if (!join_path(path, sides->prefix, name)) {
		diff->truncated = true;
		return;
	}
	if (old->kind == ENTRY_DIRECTORY) {
		char prefix[DIFF_PATH_SIZE];
		int fd = open_directory(sides->old_fd, name);
		if (fd < 0 || !join_path(prefix, path, "/") || sides->depth >= DIFF_DEPTH_MAX) {
			diff_refuse(diff, path, fd < 0 ? REFUSED_UNREADABLE : REFUSED_TOO_DEEP, sides->old_fd, name, old);
			if (fd >= 0)
				close(fd);
			return;
		}
		walk(diff, &(struct sides){ .new_fd = -1, .upper_fd = -1, .old_fd = fd, .since_ns = since_ns, .depth = sides->depth + 1,
					    .prefix = prefix });
		close(fd);
	}
	if (itself)
		diff_put(diff, DIFF_DELETED, path, conflict_flag(old, since_ns), sides->old_fd, name, old);
}

/* A name that only the old side has: deleted, unless it came there later. */
static void put_missing(struct diff *diff, const struct sides *sides, const char *name, bool merge)
{
	struct entry old, upper;
	entry_look(sides->old_fd, name, &old);
	entry_look(sides->upper_fd, name, &upper);
	if (old.kind == ENTRY_ABSENT)
		return;
	/* An overlay keeps lists and absent names in mind: what the person made meanwhile it may not show. */
	if (!upper.is_whiteout && (merge || (old.born_ns != INT64_MAX && old.born_ns >= sides->since_ns)))
		return;
	put_deleted(diff, sides, name, &old, upper.is_whiteout ? upper.born_ns : sides->since_ns, true);
}

static void put_directory(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *now,
			  const struct entry *upper, const struct entry *old, uint32_t flags, int64_t since_ns)
{
	char prefix[DIFF_PATH_SIZE];
	struct sides below = { .new_fd = open_directory(sides->new_fd, name), .upper_fd = -1, .old_fd = -1, .since_ns = since_ns,
			       .depth = sides->depth + 1, .prefix = prefix };
	if (upper->kind == ENTRY_DIRECTORY)
		below.upper_fd = open_directory(sides->upper_fd, name);
	if (old->kind == ENTRY_DIRECTORY)
		below.old_fd = open_directory(sides->old_fd, name);
	bool is_open = below.new_fd >= 0 && (upper->kind != ENTRY_DIRECTORY || below.upper_fd >= 0) &&
		       (old->kind != ENTRY_DIRECTORY || below.old_fd >= 0);
	if (!is_open || !join_path(prefix, path, "/") || sides->depth >= DIFF_DEPTH_MAX) {
		enum diff_reason reason = is_open || errno == EMFILE ? REFUSED_TOO_DEEP : REFUSED_UNREADABLE;
		diff_refuse(diff, path, reason, sides->old_fd, name, old);
	} else if ((old->kind == ENTRY_DIRECTORY && (now->mode & 0777) == (old->mode & 0777)) ||
		   diff_put(diff, DIFF_DIRECTORY, path, flags, sides->old_fd, name, old)) {
		if (old->kind != ENTRY_DIRECTORY || (now->mode & 0777) != (old->mode & 0777))
			archive_put_number(&diff->out, now->mode & 0777, 4);
		walk(diff, &below);
	}
	for (size_t i = 0; i < 3; i++) {
		int fd = i == 0 ? below.new_fd : i == 1 ? below.upper_fd : below.old_fd;
		if (fd >= 0)
			close(fd);
	}
}

static void put_other(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *now,
		      const struct entry *old)
{
	if (now->type == S_IFIFO)
		diff_refuse(diff, path, REFUSED_FIFO, sides->old_fd, name, old);
	else if (now->type == S_IFSOCK)
		diff_refuse(diff, path, REFUSED_SOCKET, sides->old_fd, name, old);
	else
		diff_refuse(diff, path, now->type == 0 ? REFUSED_UNREADABLE : REFUSED_DEVICE, sides->old_fd, name, old);
}

static void put_present(struct diff *diff, const struct sides *sides, const char *name, bool merge)
{
	char path[DIFF_PATH_SIZE];
	struct entry now, upper, old;
	entry_look(sides->new_fd, name, &now);
	entry_look(sides->upper_fd, name, &upper);
	entry_look(sides->old_fd, name, &old);
	bool untouched = diff->has_upper && upper.kind == ENTRY_ABSENT;
	/* Nothing happened at this path. Of directories the overlay shows numbers of its own: there it must be known that nothing was renamed. */
	if (now.kind == ENTRY_ABSENT || (untouched && now.kind == ENTRY_DIRECTORY && old.kind == ENTRY_DIRECTORY && merge) ||
	    (untouched && now.kind != ENTRY_DIRECTORY && old.kind != ENTRY_ABSENT && entry_is_same_inode(&now, &old)))
		return;
	int64_t since_ns = upper.kind == ENTRY_ABSENT || upper.born_ns == INT64_MAX ? sides->since_ns : upper.born_ns;
	uint32_t flags = conflict_flag(&old, since_ns) | (untouched ? (uint32_t)DIFF_MOVED : 0u);
	if (!join_path(path, sides->prefix, name)) {
		diff->truncated = true;
		return;
	}
	if (old.kind == ENTRY_DIRECTORY && now.kind != ENTRY_DIRECTORY)
		put_deleted(diff, sides, name, &old, since_ns, false);
	if (now.kind == ENTRY_FILE)
		diff_file(diff, sides, name, path, &now, &old, flags);
	else if (now.kind == ENTRY_LINK)
		diff_link(diff, sides, name, path, &old, flags);
	else if (now.kind == ENTRY_DIRECTORY)
		put_directory(diff, sides, name, path, &now, &upper, &old, flags, since_ns);
	else
		put_other(diff, sides, name, path, &now, &old);
}

static void walk(struct diff *diff, const struct sides *sides)
{
	struct names new_names, old_names;
	bool whole = names_read(diff, sides->new_fd, &new_names);
	whole = names_read(diff, sides->old_fd, &old_names) && whole;
	if (!whole)
		diff->truncated = true;
	bool merge = diff->has_upper && sides->new_fd >= 0 && sides->old_fd >= 0 && (sides->is_merge || is_merge(sides, &new_names));
	/* Not in upper, and its files are the old side's: so is all that lies below it. */
	if (!(merge && sides->upper_fd < 0)) {
		/* Deletions first, so that names which differ only in case have room. */
		for (size_t i = 0; whole && !diff->keeps_missing && i < old_names.count && goes_on(diff); i++)
			if (!names_have(&new_names, old_names.list[i]))
				put_missing(diff, sides, old_names.list[i], merge);
		for (size_t i = 0; i < new_names.count && goes_on(diff); i++)
			put_present(diff, sides, new_names.list[i], merge);
	}
	if (!goes_on(diff))
		diff->truncated = true;
	names_free(&new_names);
	names_free(&old_names);
}

bool diff_trees(struct diff *diff, const struct sides *root)
{
	archive_put(&diff->out, DIFF_MAGIC, sizeof(DIFF_MAGIC) - 1);
	/* The root is never renamed: but for what upper has, it shows the old side. */
	walk(diff, root);
	archive_put_number(&diff->out, DIFF_END, 1);
	archive_put_number(&diff->out, diff->truncated ? DIFF_TRUNCATED : 0, 1);
	archive_flush(&diff->out);
	return !diff->out.broken;
}
