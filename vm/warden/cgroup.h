/* The cgroups of one warden instance: on v2 for killing and freezing, and on
 * whichever of v2 and v1 holds memory, pids and cpu for the limits. */
#ifndef COHORT_CGROUP_H
#define COHORT_CGROUP_H

#include "base.h"

enum controller { CONTROLLER_MEMORY, CONTROLLER_PIDS, CONTROLLER_CPU, CONTROLLER_COUNT };

struct cgroup_set {
	char instance[40];                      /* name of the directory in each hierarchy */
	int v2_fd;                              /* that directory, by hierarchy */
	int v1_fd[CONTROLLER_COUNT];            /* -1: the controller is on v2 */
	char paths[1 + CONTROLLER_COUNT][512];  /* the same as host paths, "" when unused: for the record that a sweep reads */
};

/* Finds the hierarchies and makes the instance's directory in each. Host mount namespace. */
int cgroup_set_open(struct cgroup_set *set, const char *instance, struct fault *fault);
/* Kills what is left in the instance's cgroups and removes them; true when nothing is left. Waits up to timeout_ms. */
bool cgroup_set_remove(const char paths[1 + CONTROLLER_COUNT][512], uint64_t timeout_ms);

struct cgroup_limits {
	uint64_t memory_bytes;   /* with disk and tmp in it */
	uint64_t pids_max;
	uint64_t cpu_permille;   /* 0: no quota */
};

/* Names here are of cgroups (sandbox_plan.cgroup), not of sessions. */
int cgroup_create(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits, struct fault *fault);
/* Writes what differs. A limit below what is in use already is refused by the kernel. */
int cgroup_change_limits(const struct cgroup_set *set, const char *name, const struct cgroup_limits *from, const struct cgroup_limits *to,
			 struct fault *fault);
/* Before a process of it has a TCP socket: on v1 their buffers are not counted as its memory, so they get a limit of their own. */
int cgroup_bound_tcp(const struct cgroup_set *set, const char *name, struct fault *fault);
/* The v2 directory, for CLONE_INTO_CGROUP. */
int cgroup_open(const struct cgroup_set *set, const char *name);
/* Moves the calling, single-threaded process into the v1 cgroups. */
int cgroup_join_v1(const struct cgroup_set *set, const char *name);
/* cgroup-freezer.c. The whole of it: */
int cgroup_freeze(const struct cgroup_set *set, const char *name, bool frozen);
bool cgroup_is_frozen(const struct cgroup_set *set, const char *name);
/* Below a sandbox's cgroup, once it was asked to stand still: all its processes but the init, also when they go on. */
#define CGROUP_STILL "still"
/* Moves every process but one there, so that they stay as they are when the sandbox's own cgroup, which is frozen now, goes on.
 * 1: that is done; 0: not within the time, call again; -1 with errno. */
int cgroup_still_fill(const struct cgroup_set *set, const char *name, pid_t left_out, uint64_t until_ms);
int cgroup_still_thaw(const struct cgroup_set *set, const char *name);
int cgroup_kill(const struct cgroup_set *set, const char *name);
/* How many of its directories are left: 0 is the proof that no process is. */
uint64_t cgroup_remove(const struct cgroup_set *set, const char *name);
/* The same, with the same proof, and those of v1 may serve the next sandbox. */
uint64_t cgroup_let_go(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits);
uint64_t cgroup_count_processes(const struct cgroup_set *set, const char *name);
/* In the order of ipc.h: memory, peak, pids, cpu_us, oom_kills, pids_refused, throttled_us. */
int cgroup_stats(const struct cgroup_set *set, const char *name, uint64_t values[7]);
uint64_t cgroup_oom_kills(const struct cgroup_set *set, const char *name);
/* Is the process, as proc_fd shows it, in each of the cgroups, and do the limits stand? */
bool cgroup_holds(const struct cgroup_set *set, const char *name, int proc_fd, pid_t pid, const struct cgroup_limits *limits);

#endif
