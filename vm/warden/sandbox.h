/* What the zygote, the child that becomes an init, and the truth check share. */
#ifndef COHORT_SANDBOX_H
#define COHORT_SANDBOX_H

#include "base.h"
#include "cgroup.h"
#include "network-proxied.h"

enum namespace_kind { NS_MOUNT, NS_PID, NS_IPC, NS_UTS, NS_NET, NS_CGROUP, NS_COUNT };

enum { HOME_SIZE = SESSION_NAME_SIZE + 16 };

/* What must be true of one sandbox: what its child is told to do, and what the truth check compares with. */
struct sandbox_plan {
	char name[SESSION_NAME_SIZE];           /* PREPARED_NAME until the claim */
	char home[HOME_SIZE];                   /* /sessions/<name> */
	char cgroup[16];                        /* s<uid>: as unique as the uid */
	uint32_t uid;
	enum network_mode network;
	struct sandbox_limits limits;           /* open_files_max within our own hard limit */
	struct cgroup_limits cgroup_limits;
	uint64_t outer_namespaces[NS_COUNT];    /* inode numbers of the zygote's: every one must differ */
};

/* More processes than that no sandbox may be given: the kernel's own ceiling of pids. */
enum { PIDS_MAX = 1 << 22 };

/* No session has this name: it is not a session name. */
#define PREPARED_NAME "0"

/* The child says this once over its status socket: what it saw from inside when all was in place, or what failed. With it come
 * a writable clone of its sealed mount, for the claim; the listener of its filter; and, if it is proxied, the socket for the relay. */
struct child_status {
	uint32_t layers;
	struct fault fault;
};

/* Descriptors that a child keeps. All others are closed first of all. */
struct child_fds {
	int control;      /* init's end of the codec's socket */
	int status;
	int zygote_pid;   /* pidfd of the zygote: readable means that it died */
	int network;      /* an empty network namespace to enter, -1: one was made by the clone; not kept */
	int proc;         /* the host's /proc; not kept */
};

/* sandbox.c */
/* One plain component of a path, not hidden: where a mount may stand below ~/mnt. */
bool is_mount_target(const char *target);
/* Is what is asked for within what a sandbox can be? */
int sandbox_request_check(const struct create_request *request, struct fault *fault);
struct cgroup_limits sandbox_cgroup_limits(const struct sandbox_limits *limits);
/* Name and home of a plan. */
void sandbox_plan_name(struct sandbox_plan *plan, const char *name);
/* What an init sends the zygote when it ends. Not SIGCHLD: so wait() tells inits from every other child of the zygote (__WCLONE). */
#define INIT_END_SIGNAL SIGUSR1
/* Clones the child into its namespaces and v2 cgroup. Returns its pid, which is its own until the zygote reaps it. */
pid_t sandbox_start(struct sandbox_plan *plan, const struct cgroup_set *cgroups, const struct child_fds *fds, struct fault *fault);

/* mounts.c: in the child, still root, inside its new mount namespace. */
/* *sealed_fd: a writable clone, attached nowhere, of the mount that holds what differs by session. */
int mounts_build(const struct sandbox_plan *plan, int *sealed_fd, struct fault *fault);
/* In the zygote, at the claim: gives the prepared sandbox its session's name and user database. */
int mounts_name(const struct sandbox_plan *plan, int sealed_fd, struct fault *fault);
/* Files and directories of /proc that show the machine: covered in each sandbox. */
extern const char *const proc_masks[];
extern const size_t proc_mask_count;

/* The cgroup counts what it refuses, this limit does not: it stands a little behind it, as the second line. */
static inline uint64_t processes_max(const struct sandbox_limits *limits)
{
	return (uint64_t)limits->pids_max + 16;
}

/* privileges.c: what the zygote gives up before the first child, and the child's last steps as root. */
int privileges_prepare(struct fault *fault);
/* *listener_fd: whom the filter asks about the refusals that are told. */
int privileges_drop(const struct sandbox_plan *plan, const struct child_fds *fds, int *listener_fd, struct fault *fault);
extern bool session_keyring_is_new;
/* Those that depend on the session. Lowering needs no privilege. */
int limits_of_session_set(const struct sandbox_limits *limits);

/* probe.c */
#define LAYER_BIT(layer) (1u << (layer))
/* No cgroup file system inside; no trace of these three outside. */
#define LAYERS_SEEN_INSIDE (LAYERS_ALL & ~LAYER_BIT(LAYER_CGROUP_LIMITS))
#define LAYERS_SEEN_OUTSIDE (LAYERS_ALL & ~(LAYER_BIT(LAYER_LANDLOCK) | LAYER_BIT(LAYER_KEYRING) | LAYER_BIT(LAYER_NO_SOCKET)))
/* fds_allowed: descriptors 0 … fds_allowed-1 may be open, no others. */
uint32_t layers_seen_inside(const struct sandbox_plan *plan, int fds_allowed);
uint32_t layers_seen_outside(const struct sandbox_plan *plan, const struct cgroup_set *cgroups, int proc_fd, pid_t pid);
int namespace_ids(int proc_fd, const char *process, uint64_t ids[NS_COUNT]);
/* descriptor-truth.c: 0 … allowed-1 may be open, no others: of the process whose directory of descriptors this is, and of this process. */
bool low_descriptors_only(int dir_fd, const char *path, int allowed);
bool own_low_descriptors_only(int allowed);
/* network-truth.c: no other family or type of socket than the mode allows, no interface but loopback, no way out. */
bool sockets_are_restricted(enum network_mode network);
/* Of the process, a path below proc_fd. */
bool network_is_empty(int proc_fd, const char *process);
/* "layers missing: landlock, no socket" */
void layers_missing_text(uint32_t missing, char detail[DETAIL_SIZE]);

/* remains.c */
bool remains_out_is_empty(const char *home);
/* Bits of enum full_space. */
uint32_t remains_full(const char *home);

/* init.c: never returns. */
_Noreturn void init_main(struct sandbox_plan *plan, int control_fd);
/* collect.c: the forked collector; writes the archive to fd, returns the exit status. */
int collect_archive(const char *home, int fd, const char *max_bytes, const char *max_files);

/* root-tree.c: moves the calling process into the template root and detaches the host. */
void root_tree_enter(void);
/* Writes cohort-child below run/cohort/bin of the root that is being built; child-tool.c. */
void child_tool_place(int root_fd);

#endif
