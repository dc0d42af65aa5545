/* The truth check of descriptors: none is open but the low ones that a process was given. */
#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

bool low_descriptors_only(int dir_fd, const char *path, int allowed)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
	bool good = entries != NULL;
	if (entries == NULL) {
		close_fd(&fd);
		return false;
	}
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (entry->d_name[0] == '.')
			continue;
		/* Our own look at the directory of our own process is not a leak. */
		long number = strtol(entry->d_name, NULL, 10);
		good = good && (number < allowed || (dir_fd == AT_FDCWD && number == fd));
	}
	closedir(entries);
	return good;
}

/* The size of the directory is how many are open (since Linux 6.2; before, 0): as many as the low ones, so there is no other. To list
 * them takes ten times as long. */
bool own_low_descriptors_only(int allowed)
{
	struct stat directory;
	off_t low = 0;
	if (stat("/proc/self/fd", &directory) != 0)
		return false;
	if (directory.st_size == 0)
		return low_descriptors_only(AT_FDCWD, "/proc/self/fd", allowed);
	for (int fd = 0; fd < allowed; fd++)
		low += fcntl(fd, F_GETFD) >= 0;
	return directory.st_size == low;
}
