/* The zygote's visits to a sandbox that stands: attach.c. */
#ifndef COHORT_ATTACH_H
#define COHORT_ATTACH_H

#include "lifecycle.h"

/* A pidfd of its init, which cannot come to mean another process: until it is reaped, by this process, its pid is nobody else's. -1 with errno. */
int sandbox_process_open(const struct jail *jail);
/* Calls `work` while this process stands in the sandbox's mount namespace; always comes back, or ends the warden. */
int visit_sandbox(const struct jail *jail, int (*work)(void *context, struct fault *fault), void *context, struct fault *fault);
int idmap_mount(struct jail *jail, int mount_fd, const char *target, struct fault *fault);
/* While visiting: ~/mnt, where grants are mounted, and a clone of it that nobody else sees: in the sandbox itself the directory is
 * read-only at every moment. */
int sealed_points_open(const char *home, struct fault *fault);
int sealed_points_writable(int points_fd, struct fault *fault);
/* Makes a directory or file to mount on, in the writable clone. */
int make_point(int writable_fd, const char *path, bool is_directory, struct fault *fault);
/* The kernel's number of the mount that stands on the path, or of the descriptor's own with "". -1 with errno. */
int mount_id_of(int dir_fd, const char *path, uint64_t *mount_id);
/* Idmaps the detached mount to the sandbox's uid, makes its mount point in the sealed directory, and attaches it as ~/mnt/TARGET.
 * *mount_id is the kernel's id of the mount. The descriptor stays the caller's. */
int attach_mount(struct jail *jail, int mount_fd, const char *target, uint64_t *mount_id, struct fault *fault);
/* Puts another disk, detached and root's, in the place of the prepared one. Nothing may be mounted in ~/mnt yet. */
int replace_disk(const struct jail *jail, int disk_fd, struct fault *fault);
/* Gives the two scratch file systems of a prepared sandbox the sizes that were asked for. */
int resize_scratch(const struct jail *jail, const struct sandbox_limits *limits, struct fault *fault);
int name_host(const struct jail *jail, const char *name, struct fault *fault);
/* A user namespace that only carries the mapping of this sandbox's mounts; made once, the jail keeps it. */
int jail_idmap(struct jail *jail, struct fault *fault);

#endif
