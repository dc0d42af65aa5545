/* What only a sandbox with network `proxied` gets. */
#ifndef COHORT_NETWORK_PROXIED_H
#define COHORT_NETWORK_PROXIED_H

#include "base.h"

/* Values of create_request.network. */
enum network_mode { NETWORK_NONE, NETWORK_PROXIED, NETWORK_MODES };

/* Descriptors that come with a create_request from the broker: its mounts, the directory of its endpoint if it is proxied, its disk if
 * that is not in memory. */
enum { CREATE_FDS_MAX = MOUNTS_MAX + 2 };
static inline size_t create_fd_count(const struct create_request *request)
{
	return request->mount_count + (request->network == NETWORK_PROXIED ? 1u : 0u) + (request->limits.disk_kind == DISK_EXT4 ? 1u : 0u);
}

/* In the sandbox's network namespace, still root. Returns the socket that listens for the relay. proc_fd is a /proc, for its sys/net. */
int network_proxied_build(int proc_fd, struct fault *fault);

/* packet-filter.c: nftables, default drop. A kernel without it is no failure: the namespace has no way out either way. */
int packet_filter_load(struct fault *fault);

#endif
