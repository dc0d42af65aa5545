/* Which warden instances live on this machine: a locked file each. What a dead
 * one left behind is removed by the next that starts. Owns /run/cohort/instances. */
#include "broker.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cgroup.h"

#define INSTANCES "/run/cohort/instances"
enum { PATHS = 1 + CONTROLLER_COUNT, SWEEP_MS_MAX = 5000 };

static void make_root_dir(const char *path, mode_t mode)
{
	struct stat status;
	if (mkdir(path, mode) != 0 && errno != EEXIST)
		die_errno("cannot make %s", path);
	if (lstat(path, &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != 0 || (status.st_mode & 022) != 0)
		die("%s must be a directory that belongs to root and that only root may write; remove it and start again", path);
}

/* The lines of a record, which only root could write; still nothing but our own directories is ever removed. */
static bool read_record(int fd, char paths[PATHS][512])
{
	char text[PATHS * 512 + 1];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	size_t count = 0;
	char *rest = NULL;
	if (length < 0)
		return false;
	text[length] = '\0';
	memset(paths, 0, PATHS * sizeof(paths[0]));
	for (char *line = strtok_r(text, "\n", &rest); line != NULL && count < PATHS; line = strtok_r(NULL, "\n", &rest)) {
		const char *name = strrchr(line, '/');
		if (name == NULL || strncmp(name, "/cohort.", 8) != 0 || line[0] != '/' || strlen(line) >= sizeof(paths[0]))
			return false;
		format_text(paths[count++], sizeof(paths[0]), "%s", line);
	}
	return true;
}

/* Only what we could lock is dead: a living warden holds its lock to its end. */
static void sweep_one(int directory_fd, const char *name)
{
	char paths[PATHS][512];
	CLEANUP_FD int fd = openat(directory_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat opened, named;
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
		return;
	/* It may have been swept between our open and our lock. */
	if (fstat(fd, &opened) != 0 || fstatat(directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) != 0 || opened.st_ino != named.st_ino)
		return;
	if (!read_record(fd, paths))
		complain("the record %s/%s is not understood and stays", INSTANCES, name);
	else if (paths[0][0] != '\0' && !cgroup_set_remove(paths, SWEEP_MS_MAX))
		complain("something of the dead warden %s is still left; the next start tries again", name);
	else if (unlinkat(directory_fd, name, 0) != 0)
		complain("cannot remove %s/%s: %s", INSTANCES, name, strerror(errno));
}

static void sweep(void)
{
	DIR *directory = opendir(INSTANCES);
	if (directory == NULL)
		die_errno("cannot read %s", INSTANCES);
	for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
		size_t length = strlen(entry->d_name);
		if (length > 5 && strcmp(entry->d_name + length - 5, ".lock") == 0)
			sweep_one(dirfd(directory), entry->d_name);
	}
	closedir(directory);
}

void instance_open(struct instance *instance, const char *id)
{
	make_root_dir("/run/cohort", 0711);
	make_root_dir(INSTANCES, 0700);
	sweep();
	format_text(instance->id, sizeof(instance->id), "%s", id);
	format_text(instance->lock_path, sizeof(instance->lock_path), INSTANCES "/%s.lock", id);
	/* Made under another name and locked before it appears, so that no sweep can meet it unlocked. */
	char hidden[80];
	format_text(hidden, sizeof(hidden), INSTANCES "/.%s", id);
	instance->lock_fd = open(hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (instance->lock_fd < 0 || flock(instance->lock_fd, LOCK_EX | LOCK_NB) != 0 || rename(hidden, instance->lock_path) != 0)
		die_errno("cannot make the lock %s", instance->lock_path);
}

void instance_record(const struct instance *instance, const char paths[4][512])
{
	char text[PATHS * 512 + 1] = "";
	for (size_t i = 0; i < PATHS; i++)
		if (paths[i][0] != '\0' && !append_text(text, sizeof(text), "%s\n", paths[i]))
			die("the record of this instance is too long");
	if (pwrite(instance->lock_fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		die_errno("cannot write %s", instance->lock_path);
}

void instance_close(struct instance *instance)
{
	if (unlink(instance->lock_path) != 0)
		complain("cannot remove %s: %s", instance->lock_path, strerror(errno));
	close_fd(&instance->lock_fd);
}
