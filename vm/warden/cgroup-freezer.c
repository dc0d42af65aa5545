/* Stopping and going on: of a whole sandbox, or of all of it but its init. Moves processes only between a sandbox's cgroup and the one
 * below it; limits are on neither, so a move changes nothing of them. */
#include "cgroup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = SESSION_NAME_SIZE + 64, PROCESSES_SIZE = 16384 };

static int write_at(const struct cgroup_set *set, const char *name, const char *file, const char *text)
{
	char path[PATH_SIZE];
	format_text(path, sizeof(path), "%s/%s", name, file);
	return write_file(set->v2_fd, path, text);
}

int cgroup_freeze(const struct cgroup_set *set, const char *name, bool frozen)
{
	return write_at(set, name, "cgroup.freeze", frozen ? "1" : "0");
}

bool cgroup_is_frozen(const struct cgroup_set *set, const char *name)
{
	char path[PATH_SIZE], events[256];
	format_text(path, sizeof(path), "%s/cgroup.events", name);
	return read_file(set->v2_fd, path, events, sizeof(events)) > 0 && number_after(events, "frozen") == 1;
}

int cgroup_still_thaw(const struct cgroup_set *set, const char *name)
{
	return write_at(set, name, CGROUP_STILL "/cgroup.freeze", "0") == 0 || errno == ENOENT ? 0 : -1;
}

/* As many whole lines as fit: what is moved away makes room for the next. */
static bool read_processes(const struct cgroup_set *set, const char *path, char text[PROCESSES_SIZE])
{
	CLEANUP_FD int fd = openat(set->v2_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, PROCESSES_SIZE - 1);
	if (size < 0)
		return false;
	text[size] = '\0';
	char *end = strrchr(text, '\n');
	if (end != NULL)
		*end = '\0';
	return true;
}

int cgroup_still_fill(const struct cgroup_set *set, const char *name, pid_t left_out, uint64_t until_ms)
{
	char path[PATH_SIZE];
	format_text(path, sizeof(path), "%s/" CGROUP_STILL, name);
	/* Made below one that is frozen it is so too, before anything says it; what comes in stands still without a moment between. */
	if ((mkdirat(set->v2_fd, path, 0755) != 0 && errno != EEXIST) || cgroup_freeze(set, path, true) != 0)
		return -1;
	format_text(path, sizeof(path), "%s/cgroup.procs", name);
	for (;;) {
		char text[PROCESSES_SIZE], *rest = NULL;
		uint32_t others = 0;
		if (!read_processes(set, path, text))
			return -1;
		for (const char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
			if (strtol(line, NULL, 10) == left_out)
				continue;
			others++;
			/* It may have been killed meanwhile. */
			if (write_at(set, name, CGROUP_STILL "/cgroup.procs", line) != 0 && errno != ESRCH)
				return -1;
		}
		if (others == 0)
			return 1;
		if (boot_ms() >= until_ms)
			return 0;
	}
}
