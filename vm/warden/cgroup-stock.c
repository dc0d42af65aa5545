/* A few v1 cgroups in stock. To make and unmake one of memory costs the kernel a third of a millisecond, and more the more file systems the
 * machine has mounted; so those of a sandbox that is gone serve the next, under its name. Only where v1 holds the limits: what was killed
 * by `cgroup.kill` is never used again, and that is in v2.
 *
 * Owns: cgroups called spare<n>. Runs in the zygote.
 * Invariants:
 *   S1 Given is only what no process is in, as the kernel says for each hierarchy, and what counts from nothing: no kill and no refusal
 *      was counted, no quota was set, and nearly all memory that was charged is gone.
 *   S2 A name is one sandbox's: what is taken gets the new one, what is given loses the old one.
 *   S3 More than a few are kept only until nothing was given or taken for a moment. When thousands of sandboxes end at once, the kernel
 *      looks through the file systems of all that still live for each cgroup of memory that is removed; afterwards there are none. */
#include "cgroup-stock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { KEPT_MAX = 16, REMOVED_AT_ONCE = 4, REMOVED_EVERY_MS = 4, QUIET_MS = 200, PATH_SIZE = SESSION_NAME_SIZE + 64, SPARE_NAME_SIZE = 24 };

/* What the kernel frees a little later than the processes, and pages of files that only this sandbox read so far. Others count against
 * the next one's limit until the kernel needs them; more than that is not worth it. */
#define USED_BYTES_MAX (UINT64_C(2) << 20)

static struct spare {
	char name[SPARE_NAME_SIZE];
	struct cgroup_limits limits;
} stock[SANDBOXES_MAX];
static size_t stocked;
static uint64_t trim_at_ms;

/* Two controllers of one hierarchy share its directory. */
static bool is_first_of_hierarchy(const struct cgroup_set *set, size_t controller)
{
	for (size_t i = 0; i < controller; i++)
		if (set->v1_fd[i] >= 0 && strcmp(set->paths[1 + i], set->paths[1 + controller]) == 0)
			return false;
	return set->v1_fd[controller] >= 0;
}

/* In every hierarchy or in none. */
static bool rename_all(const struct cgroup_set *set, const char *from, const char *to)
{
	size_t done = 0;
	for (; done < CONTROLLER_COUNT; done++)
		if (is_first_of_hierarchy(set, done) && renameat(set->v1_fd[done], from, set->v1_fd[done], to) != 0)
			break;
	if (done == CONTROLLER_COUNT)
		return true;
	while (done-- > 0)
		if (is_first_of_hierarchy(set, done) && renameat(set->v1_fd[done], to, set->v1_fd[done], from) != 0)
			die_errno("zygote: cannot give a cgroup its name %s back", from);
	return false;
}

static ssize_t read_at(int dir_fd, const char *name, const char *file, char *text, size_t size)
{
	char path[PATH_SIZE];
	format_text(path, sizeof(path), "%s/%s", name, file);
	return read_file(dir_fd, path, text, size);
}

/* EFBIG: there are even many. */
static bool is_empty(int dir_fd, const char *name)
{
	char text[64];
	return read_at(dir_fd, name, "tasks", text, sizeof(text)) == 0;
}

static bool counts_from_nothing(const struct cgroup_set *set, const char *name)
{
	char path[PATH_SIZE], text[512];
	uint64_t used = UINT64_MAX;
	int memory_fd = set->v1_fd[CONTROLLER_MEMORY], pids_fd = set->v1_fd[CONTROLLER_PIDS];
	if (memory_fd >= 0) {
		format_text(path, sizeof(path), "%s/memory.usage_in_bytes", name);
		if (read_number(memory_fd, path, &used) != 0 || used > USED_BYTES_MAX)
			return false;
		if (read_at(memory_fd, name, "memory.oom_control", text, sizeof(text)) < 0 || number_after(text, "oom_kill") != 0)
			return false;
		format_text(path, sizeof(path), "%s/memory.max_usage_in_bytes", name);
		if (write_file(memory_fd, path, "0") != 0)
			return false;
	}
	return pids_fd < 0 || (read_at(pids_fd, name, "pids.events", text, sizeof(text)) >= 0 && number_after(text, "max") == 0);
}

bool cgroup_stock_give(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits)
{
	static uint64_t count;
	bool any = false;
	if (stocked == SANDBOXES_MAX || limits->cpu_permille != 0)
		return false;
	for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
		any = any || set->v1_fd[i] >= 0;
		if (is_first_of_hierarchy(set, i) && !is_empty(set->v1_fd[i], name))
			return false;
	}
	struct spare *spare = &stock[stocked];
	format_text(spare->name, sizeof(spare->name), "spare%llu", (unsigned long long)count++);
	if (!any || !counts_from_nothing(set, name) || !rename_all(set, name, spare->name))
		return false;
	spare->limits = *limits;
	stocked++;
	trim_at_ms = boot_ms() + QUIET_MS;
	return true;
}

bool cgroup_stock_take(const struct cgroup_set *set, const char *name, struct cgroup_limits *limits)
{
	if (stocked == 0 || !rename_all(set, stock[stocked - 1].name, name))
		return false;
	*limits = stock[--stocked].limits;
	trim_at_ms = boot_ms() + QUIET_MS;
	return true;
}

static bool remove_spare(const struct cgroup_set *set, const char *name)
{
	bool gone = true;
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		if (is_first_of_hierarchy(set, i) && unlinkat(set->v1_fd[i], name, AT_REMOVEDIR) != 0 && errno != ENOENT)
			gone = false;
	return gone;
}

uint64_t cgroup_stock_due_ms(void)
{
	return stocked > KEPT_MAX ? trim_at_ms : UINT64_MAX;
}

void cgroup_stock_trim(const struct cgroup_set *set, uint64_t now_ms)
{
	if (now_ms < cgroup_stock_due_ms())
		return;
	trim_at_ms = now_ms + REMOVED_EVERY_MS;
	/* The oldest kept stay. One that is busy, though no task is in it, is tried again. */
	for (size_t i = 0; i < REMOVED_AT_ONCE && stocked > KEPT_MAX && remove_spare(set, stock[stocked - 1].name); i++)
		stocked--;
}
