/* What a sandbox was given of the person's files, from the attachment to the proof that nothing of it is left: grants.c. */
#ifndef COHORT_GRANTS_H
#define COHORT_GRANTS_H

#include <sys/types.h>

#include "base.h"

struct jail;

enum { GRANT_PARTS = 3, GRANT_WAITERS_MAX = 8 };

struct grant {
	struct grant *next;
	uint32_t id, flags;             /* enum mount_flag */
	uint32_t mode;                  /* enum mount_mode */
	char target[MOUNT_TARGET_SIZE];
	uint64_t mount_ids[GRANT_PARTS]; /* the kernel's: what stands on ~/mnt/TARGET, then lower and upper of a staged one; 0: none */
	uint64_t layer_mount_id;        /* of a staged one, below its upper: the whole layer */
	uint64_t staged_bytes;
	uint64_t expires_ms;            /* CLOCK_BOOTTIME */
	bool ending;
	uint32_t reason;                /* enum grant_end */
	uint32_t waiters[GRANT_WAITERS_MAX], waiter_count;
	uint32_t processes_killed;
};

/* Part of struct jail. */
struct jail_grants {
	struct grant *first;
	uint32_t count;
	uint32_t *ended;                /* ids that will not be used again */
	uint32_t ended_count, ended_capacity;
	struct grant *revoking;         /* the one whose revoker runs */
	pid_t revoker_pid;              /* 0: none runs */
	int revoker_fd;
	uint64_t revoker_until_ms;
};

/* Attaches one mount as a grant. The descriptor stays the caller's. */
int grants_attach(struct jail *jail, uint32_t id, const struct mount_request *mount, int mount_fd, uint64_t ttl_ms, struct fault *fault);
/* GRANT, as it comes from the broker; answers the codec. */
void grants_request(const struct grant_request *request, int mount_fd);
/* True: answered with the values or the fault; false: the answer comes with the proof. */
bool grants_revoke(struct jail *jail, uint32_t seq, uint32_t id, struct fault *fault, uint64_t values[7]);
/* Ends what expired, one after another. When it wants to be called next. */
uint64_t grants_run_timers(struct jail *jail, uint64_t now_ms);
void grants_on_revoker(struct jail *jail);

/* revoker-end.c: nobody waits for the death of one. */
void revoker_end(pid_t pid);
/* When it wants to be called next. */
uint64_t revokers_reap(uint64_t now_ms);
/* Every process of the sandbox is gone, and that is the proof for whoever waits. Frees all. */
void grants_on_death(struct jail *jail);

/* overlay.c */
int stage_mount(struct jail *jail, struct grant *grant, int lower_fd, struct fault *fault);
/* Removes the directories that the parts of a staged mount stood on. */
void staged_points_remove(int writable_fd, const char *target);

/* What a revoker says, once. A revoker that ends without a word has failed. */
struct revoker_report {
	uint32_t proven;                /* every part is unmounted: nobody has anything of it open */
	uint32_t processes_killed;
	struct fault fault;
};

/* revoke.c: in a process of its own, forked from the zygote. */
/* pid_fd: of the sandbox. */
_Noreturn void revoker_main(const struct jail *jail, const struct grant *grant, int pid_fd, int report_fd);

/* holders.c: kills every process of the cgroup that has something of these mounts open: descriptors, directories, program, mappings.
 * Adds how many to *killed. -1 with errno; else how many tasks were found. */
struct holder_search {
	int proc_fd, cgroup_fd;
	pid_t init_pid;
	const uint64_t *mount_ids;
	size_t mount_count;
};
int holders_kill(const struct holder_search *search, uint32_t *killed);

#endif
