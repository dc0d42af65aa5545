/* What a process left behind when it ended, as its init sees it: whether there is anything to collect, and what has no room left. */
#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* Anything odd counts as not empty: then a collection looks properly. */
bool remains_out_is_empty(const char *home)
{
	char path[HOME_SIZE + 8];
	format_text(path, sizeof(path), "%s/out", home);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* struct linux_dirent64; an empty directory is listed as "." and "..", of this size each, and then nothing. */
	struct { uint64_t inode, offset; unsigned short size; unsigned char type; char name[5]; } entries[4];
	long length = fd < 0 ? -1 : syscall(SYS_getdents64, fd, entries, sizeof(entries));
	return length == 2 * (long)sizeof(entries[0]) && syscall(SYS_getdents64, fd, entries, sizeof(entries)) == 0;
}

/* The layers of staged directories, sealed and the warden's. */
static bool a_layer_is_full(const char *home)
{
	char path[HOME_SIZE + 16 + MOUNT_TARGET_SIZE + 8];
	struct statfs layer;
	bool full = false;
	format_text(path, sizeof(path), "%s/mnt/.staged", home);
	DIR *targets = opendir(path);
	if (targets == NULL)
		return false;
	for (const struct dirent *entry = readdir(targets); entry != NULL && !full; entry = readdir(targets)) {
		if (entry->d_name[0] == '.')
			continue;
		format_text(path, sizeof(path), "%s/mnt/.staged/%.*s/upper", home, MOUNT_TARGET_SIZE - 1, entry->d_name);
		full = statfs(path, &layer) == 0 && (layer.f_bavail == 0 || layer.f_ffree == 0);
	}
	closedir(targets);
	return full;
}

/* Whoever was refused room may have made some since; what is full now was full then. */
uint32_t remains_full(const char *home)
{
	struct statfs disk, tmp;
	uint32_t full = 0;
	if (statfs(home, &disk) == 0)
		full |= (disk.f_bavail == 0 ? FULL_DISK : 0u) | (disk.f_ffree == 0 ? FULL_INODES : 0u);
	if (statfs("/tmp", &tmp) == 0 && (tmp.f_bavail == 0 || tmp.f_ffree == 0))
		full |= FULL_TMP;
	if (a_layer_is_full(home))
		full |= FULL_STAGED;
	return full;
}
