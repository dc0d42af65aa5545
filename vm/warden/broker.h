/* The root process in the host's mount namespace: uids, mount sources, and the end of everything. */
#ifndef COHORT_BROKER_H
#define COHORT_BROKER_H

#include "base.h"

struct person {
	uint32_t uid, gid;
	gid_t groups[64];
	size_t group_count;
};

/* uids.c. A range of uids that nobody else has, and a counter of it that only ever grows. */
struct uid_source {
	const char *path;
	char directory[4096];       /* of path; root's alone: images of disks lie there, too */
	uint32_t base, count;
	uint32_t next, block_end;   /* reserved on disk up to block_end */
};

/* Dies with what to do when the range overlaps a user, a group or a subordinate range. */
void uids_open(struct uid_source *uids);
int uids_next(struct uid_source *uids, uint32_t *uid, struct fault *fault);
/* The rest of the block, or the next one. */
int uids_take_block(struct uid_source *uids, struct uid_block *block, struct fault *fault);

/* idmap.c: a namespace that maps the person's uid and gid to the child's, and no other. proc_fd: /proc of this pid namespace. */
int idmap_open(int proc_fd, const struct person *person, uint32_t child_uid, struct fault *fault);

/* as-person.c. `run` fills the answer, and may leave a descriptor, in a process with the person's rights alone. */
struct person_work {
	void (*run)(void *context, void *answer, int *fd);
	void *context, *answer;
	size_t answer_size;
	int time_ms_max;
	bool (*enter)(void);        /* while it is still root; may be NULL */
};
/* -1: no answer came; errno is ETIMEDOUT when the time was over. */
int run_as_person(const struct person *person, const struct person_work *work, int *fd);

/* source-copy.c: a tmpfs with what the person can read of it, as a detached mount. Adds MOUNT_COPIED, and MOUNT_COPY_PARTIAL if need be. */
int source_copy(const struct person *person, int source_fd, bool is_file, struct mount_request *mount, struct fault *fault);

/* copies.c: once, before the first copy. */
struct cgroup_set;
void copies_open(const struct cgroup_set *set);
/* In a process that fills a copy. False: nothing may be copied. */
bool copies_join(void);
/* How often one was killed since there was no room for a copy more. */
uint64_t copies_refused(void);

/* source-protect.c. The search runs with the person's rights and writes paths, each with its NUL, to paths_fd. False: it is not complete. */
bool protected_names_search(int root_fd, int paths_fd);
/* A clone of the detached mount in which what stands under these paths is read-only. Leaves the caller in a mount namespace of its own. */
int protected_names_cover(int mount_fd, int paths_fd, struct mount_request *mount, struct fault *fault);
/* Attaches the mount in a mount namespace of this process's own, since only an attached mount can be cloned in part or mounted on. */
int attach_privately(int mount_fd, struct fault *fault);

/* mount-source.c: opened with the person's rights, proven fit, and cloned or copied: a detached mount, or -1. idmap_probe_fd: a
 * namespace that tells what can be idmapped. Sets mount->flags. */
int mount_source_prepare(const struct person *person, int idmap_probe_fd, struct mount_request *mount, struct fault *fault);

/* disk-image.c: a fresh ext4 in the size of the limits, its image in the directory. Returns the detached mount, root's. */
int disk_image_mount(const char *directory, const struct sandbox_limits *limits, struct fault *fault);

/* endpoint.c: the directory of the endpoint, opened with the person's rights; the request's endpoint becomes its last component. */
int endpoint_open(const struct person *person, struct create_request *request, struct fault *fault);

struct broker {
	int idmap_probe_fd;
	const struct person *person;
	struct uid_source *uids;
	int codec_fd, zygote_fd;
	pid_t codec_pid, zygote_pid, witness_pid, relay_pid;
	int signal_fd;              /* SIGTERM, SIGINT, SIGCHLD */
};

/* Serves until one of the other processes ends or a signal asks; returns what the warden's exit status shall be. */
int broker_serve(struct broker *broker);

/* instance.c: the lock and record of an instance, and the sweep of those whose warden is dead. */
struct instance {
	char id[17];
	char lock_path[64];
	int lock_fd;
};

void instance_open(struct instance *instance, const char *id);
void instance_record(const struct instance *instance, const char paths[4][512]);
void instance_close(struct instance *instance);

/* socket.c: the listening socket in a directory that only root can change. */
struct listener {
	char directory[4096], name[108];
	int directory_fd, lock_fd, socket_fd;
};

void listener_open(struct listener *listener, const char *path, const struct person *person);
void listener_close(struct listener *listener);

/* codec-process.c: drops everything and calls codec_main(). */
struct codec_config;
_Noreturn void codec_process_main(struct codec_config *config, uint32_t uid);
/* A devpts instance of this warden, as a descriptor of its root. */
int devpts_open(void);

#endif
