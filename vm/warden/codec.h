/* The seam between the root half of the warden and its codec: root prepares
 * everything in this struct, forks, drops every privilege, and calls
 * codec_main(), which never had a right that it does not need.
 *
 * When codec_main() starts, the process
 *   - has a uid and gid of its own, taken from the same never-reused counter as
 *     the children's: so it can signal or read neither the person's processes
 *     nor a child, and neither can reach it;
 *   - has no capability, no_new_privs, is not dumpable, dies with the broker;
 *   - stands in an empty read-only root, in mount, net, ipc and uts namespaces
 *     of its own: no path exists, every file arrives as a descriptor;
 *   - has 0, 1 on /dev/null, 2 on the warden's stderr, and the descriptors below;
 *   - has SIGTERM, SIGCHLD, SIGPIPE at their defaults, an empty signal mask and
 *     RLIMIT_NOFILE raised to its hard limit.
 *
 * The end of the codec is the end of the warden: when it returns or exits, by
 * SHUTDOWN, idleness or a crash, the broker kills and removes every sandbox of
 * this instance and the socket. So SHUTDOWN is: answer OK, flush, return 0.
 *
 * Two things that only the codec can do for a child (it owns these inodes):
 * fchmod(fd, 0666) each end of a pipe it makes for stdio, else a child cannot
 * open /dev/stderr, which leads to it; and drop descriptors that arrive on the
 * socket of an init (recvmsg without a control buffer), which is untrusted. */
#ifndef COHORT_CODEC_H
#define COHORT_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

struct codec_config {
	int listen_fd;  /* AF_UNIX stream, bound and listening, non-blocking, 0600 and owned by the person */
	int broker_fd;  /* SEQPACKET, non-blocking: create_request out, refused create_reply in */
	int zygote_fd;  /* SEQPACKET, non-blocking: op_request out; create_reply, op_reply, died_notice in */
	int witness_fd; /* SEQPACKET, non-blocking: denial_notice in, count_request out; -1: there is no witness */
	int devpts_fd;  /* root of a devpts instance of this warden: openat(devpts_fd, "ptmx"), slave by TIOCGPTPEER */
	uint32_t person_uid;              /* the only uid that SO_PEERCRED may show */
	char warden_id[33];               /* random hex, new for each start */
	char binary_sha256[65];
	uint64_t exit_when_idle_ms;       /* return 0 after so long without supervisor and sandbox; 0: never */
	uint64_t memory_total_bytes;
	uint64_t freeze_after_ms_min, freeze_after_ms_max; /* bounds of HELLO's lease: clamp */
	uint64_t kill_after_ms_min, kill_after_ms_max;
};

/* Serves until the end of the warden. Returns the exit status of the process: 0 when asked to end. */
int codec_main(const struct codec_config *config);

/* Bytes of a create_request that are sent: mounts beyond mount_count stay behind. The caller has checked mount_count <= MOUNTS_MAX. */
static inline size_t create_request_size(uint32_t mount_count)
{
	return offsetof(struct create_request, mounts) + mount_count * sizeof(struct mount_request);
}

/* Names of enum warden_error as ERROR sends them ("MOUNT_SOURCE_LINK"), and of enum layer ("uid"); errors.c. */
extern const char *const warden_error_names[E_INTERNAL + 1];
extern const char *const layer_names[LAYER_COUNT];

#endif
