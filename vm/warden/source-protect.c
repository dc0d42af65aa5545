/* Protected names in a directory that is given for writing: what stands under one is bound read-only on itself, so that a child
 * writes no hook, task or shell file that the person runs later. One that does not exist yet cannot be prevented by a mount. */
#include "broker.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "protected-names.h"

enum { ENTRIES_MAX = 50000, COVERED_MAX = 64, SEARCH_MS_MAX = 500, QUEUE_SIZE = 1 << 20, RELATIVE_SIZE = 1024 };

struct search {
	int root_fd, paths_fd;
	char *queue;                /* relative paths of directories, each with its NUL */
	size_t queue_start, queue_end;
	uint32_t entries, found;
	uint64_t end_ms;
	bool partial;
};

static bool is_protected(const char *name)
{
	static const char *const names[] = { PROTECTED_NAMES };
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

static int open_below(int root_fd, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	return (int)syscall(SYS_openat2, root_fd, path[0] == '\0' ? "." : path, &how, sizeof(how));
}

static void note(struct search *search, const char *path)
{
	size_t size = strlen(path) + 1;
	if (search->found == COVERED_MAX || write(search->paths_fd, path, size) != (ssize_t)size)
		search->partial = true;
	else
		search->found++;
}

static void enqueue(struct search *search, const char *path)
{
	size_t size = strlen(path) + 1;
	if (search->queue_end + size > QUEUE_SIZE) {
		search->partial = true;
		return;
	}
	memcpy(search->queue + search->queue_end, path, size);
	search->queue_end += size;
}

static void look_at(struct search *search, const char *parent, const struct dirent *entry)
{
	char path[RELATIVE_SIZE] = "";
	if (!append_text(path, sizeof(path), "%s%s%s", parent, parent[0] == '\0' ? "" : "/", entry->d_name)) {
		search->partial = true;
		return;
	}
	/* A link cannot be covered: what it leads to would be. */
	if (is_protected(entry->d_name) && entry->d_type == DT_LNK)
		search->partial = true;
	else if (is_protected(entry->d_name))
		note(search, path);
	else if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)
		enqueue(search, path);
}

static void look_into(struct search *search, const char *path)
{
	int fd = open_below(search->root_fd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		/* What the person cannot list, the child cannot either, unless the kind of an entry was unknown and it is no directory. */
		search->partial = search->partial || (errno != EACCES && errno != ENOTDIR && errno != ENOENT);
		close_fd(&fd);
		return;
	}
	for (const struct dirent *entry = readdir(entries); entry != NULL && !search->partial; entry = readdir(entries)) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (++search->entries > ENTRIES_MAX || (search->entries % 256 == 0 && boot_ms() > search->end_ms))
			search->partial = true;
		else
			look_at(search, path, entry);
	}
	closedir(entries);
}

/* Level by level, so that what stands high is found when the bounds are reached. */
bool protected_names_search(int root_fd, int paths_fd)
{
	struct search search = { .root_fd = root_fd, .paths_fd = paths_fd, .queue = malloc(QUEUE_SIZE), .end_ms = boot_ms() + SEARCH_MS_MAX };
	if (search.queue == NULL)
		return false;
	enqueue(&search, "");
	while (search.queue_start < search.queue_end && !search.partial) {
		const char *path = search.queue + search.queue_start;
		search.queue_start += strlen(path) + 1;
		look_into(&search, path);
	}
	free(search.queue);
	return !search.partial;
}

int attach_privately(int mount_fd, struct fault *fault)
{
	/* Private first: what is attached here must not show on the host. On top of the root, which nobody here walks through again. */
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    move_mount(mount_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot attach a mount in a namespace of its own");
	return 0;
}

/* Whoever changed the directory since the search can only have made this fail: nothing outside is reached. */
static int cover(int mount_fd, const char *path, struct mount_request *mount, struct fault *fault)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE };
	CLEANUP_FD int fd = open_below(mount_fd, path, O_PATH);
	CLEANUP_FD int tree = fd < 0 ? -1 : open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0) {
		mount->flags |= MOUNT_PROTECTION_PARTIAL;
		return 0;
	}
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) != 0 ||
	    move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make %.60s of %.120s read-only", path, mount->source);
	return 0;
}

int protected_names_cover(int mount_fd, int paths_fd, struct mount_request *mount, struct fault *fault)
{
	static char paths[COVERED_MAX * RELATIVE_SIZE + 1];
	ssize_t size = pread(paths_fd, paths, sizeof(paths) - 1, 0);
	if (size <= 0)
		return fail(fault, E_INTERNAL, errno, "cannot read the protected names of %.150s", mount->source);
	if (attach_privately(mount_fd, fault) != 0)
		return -1;
	for (const char *path = paths; path < paths + size; path += strlen(path) + 1)
		if (cover(mount_fd, path, mount, fault) != 0)
			return -1;
	int tree = open_tree(mount_fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree >= 0 ? tree : fail(fault, E_SETUP_FAILED, errno, "cannot clone %.150s with its protected names", mount->source);
}
