/* Who holds a mount: every task of a cgroup, each with its own descriptor table, directories, program and mappings, as the kernel shows
 * them in the host's /proc. Reads no byte that a child wrote. */
#include "cgroup.h"
#include "grants.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { TASKS_SIZE = 1 << 20, KILLED_MAX = 1 << 16 };

static bool is_held(const struct holder_search *search, int dir_fd, const char *path)
{
	struct statx status;
	if (statx(dir_fd, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) != 0 || (status.stx_mask & STATX_MNT_ID) == 0)
		return false;
	for (size_t i = 0; i < search->mount_count; i++)
		if (search->mount_ids[i] == status.stx_mnt_id)
			return true;
	return false;
}

/* Links in a directory of /proc: fd, or map_files. */
static bool any_is_held(const struct holder_search *search, int task_fd, const char *directory)
{
	int fd = openat(task_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	bool held = false;
	if (entries == NULL) {
		close_fd(&fd);
		return false;
	}
	for (const struct dirent *entry = readdir(entries); entry != NULL && !held; entry = readdir(entries))
		held = entry->d_name[0] != '.' && is_held(search, fd, entry->d_name);
	closedir(entries);
	return held;
}

static bool holds(const struct holder_search *search, int task_fd)
{
	return is_held(search, task_fd, "cwd") || is_held(search, task_fd, "root") || is_held(search, task_fd, "exe") ||
	       any_is_held(search, task_fd, "fd") || any_is_held(search, task_fd, "map_files");
}

/* Threads of one process mostly share everything; the kernel says so, and then one look is enough. */
static bool shares_all(pid_t one, pid_t other)
{
	return syscall(SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0 && syscall(SYS_kcmp, one, other, KCMP_FS, 0, 0) == 0 &&
	       syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0;
}

static pid_t process_of(int task_fd)
{
	char text[4096];
	if (read_file(task_fd, "status", text, sizeof(text)) <= 0)
		return 0;
	const char *line = strstr(text, "\nTgid:");
	return line == NULL ? 0 : (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10);
}

static bool kill_task(int task_fd)
{
	/* A directory of /proc is as good as a pidfd: it cannot come to mean another process. */
	return pidfd_send_signal(task_fd, SIGKILL, NULL, 0) == 0 || errno == ESRCH;
}

/* Of all rounds of this process: one that is still dying is not another one. */
static struct {
	pid_t processes[KILLED_MAX];
	uint32_t count;
} seen;

/* 0: it ended while it was looked at. */
static bool is_new(pid_t process)
{
	if (process == 0)
		return false;
	for (uint32_t i = 0; i < seen.count; i++)
		if (seen.processes[i] == process)
			return false;
	if (seen.count < KILLED_MAX)
		seen.processes[seen.count++] = process;
	return true;
}

static int kill_in(const struct holder_search *search, const char *file, uint32_t *killed)
{
	static char tasks[TASKS_SIZE];
	int found = 0;
	pid_t before = 0;
	bool before_holds = false;
	char *rest = NULL;
	if (read_file(search->cgroup_fd, file, tasks, sizeof(tasks)) < 0)
		return -1;
	for (const char *line = strtok_r(tasks, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		pid_t task = (pid_t)strtol(line, NULL, 10);
		char path[16];
		format_text(path, sizeof(path), "%d", task);
		CLEANUP_FD int task_fd = task > 0 ? openat(search->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
		if (task_fd < 0)
			continue;
		bool task_holds = before > 0 && shares_all(before, task) ? before_holds : holds(search, task_fd);
		before = task;
		before_holds = task_holds;
		if (!task_holds)
			continue;
		found++;
		pid_t process = process_of(task_fd);
		if (process == search->init_pid) {
			errno = EBUSY;
			return -1;
		}
		if (!kill_task(task_fd))
			return -1;
		*killed += is_new(process);
	}
	return found;
}

int holders_kill(const struct holder_search *search, uint32_t *killed)
{
	int found = kill_in(search, "cgroup.threads", killed);
	int found_still = found < 0 ? 0 : kill_in(search, CGROUP_STILL "/cgroup.threads", killed);
	/* It was never asked to stand still. */
	if (found_still < 0 && errno == ENOENT)
		return found;
	return found < 0 || found_still < 0 ? -1 : found + found_still;
}
