/* Makes, limits, freezes, kills and removes the cgroups of sandboxes. Touches
 * only directories called cohort.<instance>; never reuses one after a kill. */
#include "cgroup-stock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_PATH_SIZE = SESSION_NAME_SIZE + 64, PROC_TEXT_SIZE = 16384 };

static const struct {
	const char *v1, *v2;
} limit_files[CONTROLLER_COUNT] = {
	[CONTROLLER_MEMORY] = { "memory.limit_in_bytes", "memory.max" },
	[CONTROLLER_PIDS] = { "pids.max", "pids.max" },
	[CONTROLLER_CPU] = { "cpu.cfs_quota_us", "cpu.max" },
};

enum { CPU_PERIOD_US = 100000 };

static int controller_dir(const struct cgroup_set *set, enum controller controller)
{
	return set->v1_fd[controller] >= 0 ? set->v1_fd[controller] : set->v2_fd;
}

static bool on_v1(const struct cgroup_set *set, enum controller controller)
{
	return set->v1_fd[controller] >= 0;
}

static int write_at(int dir_fd, const char *name, const char *file, const char *text)
{
	char path[NAME_PATH_SIZE];
	format_text(path, sizeof(path), "%s/%s", name, file);
	return write_file(dir_fd, path, text);
}

static ssize_t read_at(int dir_fd, const char *name, const char *file, char *text, size_t size)
{
	char path[NAME_PATH_SIZE];
	format_text(path, sizeof(path), "%s/%s", name, file);
	return read_file(dir_fd, path, text, size);
}

static uint64_t number_at(int dir_fd, const char *name, const char *file)
{
	char path[NAME_PATH_SIZE];
	uint64_t number = 0;
	format_text(path, sizeof(path), "%s/%s", name, file);
	return read_number(dir_fd, path, &number) == 0 ? number : 0;
}

static void limit_text(const struct cgroup_set *set, enum controller controller, const struct cgroup_limits *limits, char text[48])
{
	bool v1 = on_v1(set, controller);
	uint64_t quota_us = limits->cpu_permille * CPU_PERIOD_US / 1000;
	switch (controller) {
	case CONTROLLER_MEMORY:
		format_text(text, 48, "%" PRIu64, limits->memory_bytes);
		return;
	case CONTROLLER_PIDS:
		format_text(text, 48, "%" PRIu64, limits->pids_max);
		return;
	case CONTROLLER_CPU:
		if (limits->cpu_permille == 0)
			format_text(text, 48, v1 ? "-1" : "max 100000");
		else
			/* The kernel takes no quota under 1 ms of the period. */
			format_text(text, 48, v1 ? "%" PRIu64 : "%" PRIu64 " 100000", quota_us < 1000 ? 1000 : quota_us);
		return;
	case CONTROLLER_COUNT:
		break;
	}
	die("no such controller");
}

static int set_file(const struct cgroup_set *set, enum controller controller, const char *name, const char *file, const char *text,
		    struct fault *fault)
{
	if (write_at(controller_dir(set, controller), name, file, text) != 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot set %s=%s of %s", file, text, name);
	return 0;
}

/* Swap would let a sandbox hold more than it was given. Kernels without swap accounting have no such file. */
static int set_swap(const struct cgroup_set *set, const char *name, const char *memory_text, struct fault *fault)
{
	bool v1 = on_v1(set, CONTROLLER_MEMORY);
	const char *file = v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max";
	int failed = set_file(set, CONTROLLER_MEMORY, name, file, v1 ? memory_text : "0", fault);
	return failed != 0 && fault->sys_errno == ENOENT ? 0 : failed;
}

/* On v1 memory with swap may never be less than memory: it grows first and shrinks last. */
static int set_limit(const struct cgroup_set *set, enum controller controller, const char *name, const struct cgroup_limits *limits, bool grows,
		     struct fault *fault)
{
	const char *file = on_v1(set, controller) ? limit_files[controller].v1 : limit_files[controller].v2;
	char text[48];
	limit_text(set, controller, limits, text);
	if (controller != CONTROLLER_MEMORY)
		return set_file(set, controller, name, file, text, fault);
	if (grows && set_swap(set, name, text, fault) != 0)
		return -1;
	if (set_file(set, controller, name, file, text, fault) != 0)
		return -1;
	return grows ? 0 : set_swap(set, name, text, fault);
}

int cgroup_change_limits(const struct cgroup_set *set, const char *name, const struct cgroup_limits *from, const struct cgroup_limits *to,
			 struct fault *fault)
{
	const bool differs[CONTROLLER_COUNT] = {
		[CONTROLLER_MEMORY] = from->memory_bytes != to->memory_bytes,
		[CONTROLLER_PIDS] = from->pids_max != to->pids_max,
		[CONTROLLER_CPU] = from->cpu_permille != to->cpu_permille,
	};
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		if (differs[i] && set_limit(set, (enum controller)i, name, to, to->memory_bytes > from->memory_bytes, fault) != 0)
			return -1;
	return 0;
}

static int create_v1(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits, struct fault *fault)
{
	for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
		/* Two controllers of one v1 hierarchy share the directory. */
		if (set->v1_fd[i] >= 0 && mkdirat(set->v1_fd[i], name, 0755) != 0 && errno != EEXIST)
			return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot make the cgroup %s/%s", set->paths[1 + i], name);
		/* A new cgroup has no limit yet. No quota is what it has already. */
		if ((i != CONTROLLER_CPU || limits->cpu_permille != 0) && set_limit(set, (enum controller)i, name, limits, false, fault) != 0)
			return -1;
	}
	return 0;
}

int cgroup_create(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits, struct fault *fault)
{
	struct cgroup_limits stands;
	if (mkdirat(set->v2_fd, name, 0755) != 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot make the cgroup %s/%s", set->paths[0], name);
	int failed = cgroup_stock_take(set, name, &stands) ? cgroup_change_limits(set, name, &stands, limits, fault) : create_v1(set, name, limits, fault);
	if (failed != 0)
		cgroup_remove(set, name);
	return failed;
}

int cgroup_bound_tcp(const struct cgroup_set *set, const char *name, struct fault *fault)
{
	static const char limit[] = "67108864"; /* 64 MiB */
	if (!on_v1(set, CONTROLLER_MEMORY))
		return 0;
	return set_file(set, CONTROLLER_MEMORY, name, "memory.kmem.tcp.limit_in_bytes", limit, fault);
}

int cgroup_open(const struct cgroup_set *set, const char *name)
{
	return openat(set->v2_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int cgroup_join_v1(const struct cgroup_set *set, const char *name)
{
	/* "0" into tasks moves only the calling thread and so spares the global
	 * threadgroup lock that cgroup.procs takes; we have one thread. */
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		if (set->v1_fd[i] >= 0 && write_at(set->v1_fd[i], name, "tasks", "0") != 0)
			return -1;
	return 0;
}

int cgroup_kill(const struct cgroup_set *set, const char *name)
{
	return write_at(set->v2_fd, name, "cgroup.kill", "1");
}

/* How many are left. */
static uint64_t remove_v2(const struct cgroup_set *set, const char *name)
{
	uint64_t left = 0;
	char still[NAME_PATH_SIZE];
	format_text(still, sizeof(still), "%s/" CGROUP_STILL, name);
	if (unlinkat(set->v2_fd, still, AT_REMOVEDIR) != 0 && errno != ENOENT)
		left++;
	if (unlinkat(set->v2_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		left++;
	return left;
}

static uint64_t remove_v1(const struct cgroup_set *set, const char *name)
{
	uint64_t left = 0;
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		if (set->v1_fd[i] >= 0 && unlinkat(set->v1_fd[i], name, AT_REMOVEDIR) != 0 && errno != ENOENT)
			left++;
	return left;
}

uint64_t cgroup_remove(const struct cgroup_set *set, const char *name)
{
	return remove_v2(set, name) + remove_v1(set, name);
}

uint64_t cgroup_let_go(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits)
{
	uint64_t left = remove_v2(set, name);
	if (left == 0 && cgroup_stock_give(set, name, limits))
		return 0;
	return left + remove_v1(set, name);
}

static uint64_t count_processes(const struct cgroup_set *set, const char *name, const char *file)
{
	char text[PROC_TEXT_SIZE];
	ssize_t length = read_at(set->v2_fd, name, file, text, sizeof(text));
	uint64_t count = 0;
	if (length < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : 1;
	for (ssize_t i = 0; i < length; i++)
		count += text[i] == '\n';
	return count;
}

uint64_t cgroup_count_processes(const struct cgroup_set *set, const char *name)
{
	return count_processes(set, name, "cgroup.procs") + count_processes(set, name, CGROUP_STILL "/cgroup.procs");
}

uint64_t cgroup_oom_kills(const struct cgroup_set *set, const char *name)
{
	char text[512];
	const char *file = on_v1(set, CONTROLLER_MEMORY) ? "memory.oom_control" : "memory.events";
	if (read_at(controller_dir(set, CONTROLLER_MEMORY), name, file, text, sizeof(text)) < 0)
		return 0;
	return number_after(text, "oom_kill");
}

int cgroup_stats(const struct cgroup_set *set, const char *name, uint64_t values[7])
{
	char text[2048];
	bool memory_v1 = on_v1(set, CONTROLLER_MEMORY);
	int memory_fd = controller_dir(set, CONTROLLER_MEMORY), pids_fd = controller_dir(set, CONTROLLER_PIDS);
	values[0] = number_at(memory_fd, name, memory_v1 ? "memory.usage_in_bytes" : "memory.current");
	values[1] = number_at(memory_fd, name, memory_v1 ? "memory.max_usage_in_bytes" : "memory.peak");
	values[2] = number_at(pids_fd, name, "pids.current");
	/* v2 counts CPU time in every cgroup, with or without its controller. */
	if (read_at(set->v2_fd, name, "cpu.stat", text, sizeof(text)) < 0)
		return -1;
	values[3] = number_after(text, "usage_usec");
	values[6] = number_after(text, "throttled_usec");
	values[4] = cgroup_oom_kills(set, name);
	if (read_at(pids_fd, name, "pids.events", text, sizeof(text)) < 0)
		return -1;
	values[5] = number_after(text, "max");
	if (on_v1(set, CONTROLLER_CPU)) {
		if (read_at(set->v1_fd[CONTROLLER_CPU], name, "cpu.stat", text, sizeof(text)) < 0)
			return -1;
		values[6] = number_after(text, "throttled_time") / 1000;
	}
	return 0;
}

/* Does /proc/PID/cgroup name `…/cohort.<instance>/<name>` for every hierarchy that we use? */
static bool is_member(const struct cgroup_set *set, const char *name, const char *text)
{
	char suffix[NAME_PATH_SIZE];
	size_t found = 0, wanted = 1;
	format_text(suffix, sizeof(suffix), "/%s/%s\n", set->instance, name);
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		wanted += set->v1_fd[i] >= 0;
	for (const char *hit = strstr(text, suffix); hit != NULL; hit = strstr(hit + 1, suffix))
		found++;
	/* cpu and cpuacct, or any two of ours, may share one hierarchy and so one line. */
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		for (size_t j = i + 1; j < CONTROLLER_COUNT; j++)
			if (set->v1_fd[i] >= 0 && strcmp(set->paths[1 + i], set->paths[1 + j]) == 0) {
				wanted--;
				break;
			}
	return found >= wanted;
}

bool cgroup_holds(const struct cgroup_set *set, const char *name, int proc_fd, pid_t pid, const struct cgroup_limits *limits)
{
	char path[64], text[4096];
	format_text(path, sizeof(path), "%d/cgroup", pid);
	if (read_file(proc_fd, path, text, sizeof(text)) < 0 || !is_member(set, name, text))
		return false;
	const char *memory_file = on_v1(set, CONTROLLER_MEMORY) ? "memory.limit_in_bytes" : "memory.max";
	uint64_t memory = number_at(controller_dir(set, CONTROLLER_MEMORY), name, memory_file);
	uint64_t pids = number_at(controller_dir(set, CONTROLLER_PIDS), name, "pids.max");
	/* The kernel rounds memory down to pages. */
	return memory != 0 && memory <= limits->memory_bytes && pids == limits->pids_max;
}
