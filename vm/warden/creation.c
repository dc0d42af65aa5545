/* The first part of a sandbox's life in the zygote: a plan becomes cgroups and a
 * cloned child, and, once that is proven, a claim makes it a session's. When and
 * how many is pool.c's; what follows is in lifecycle.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "attach.h"
#include "codec.h"
#include "jail-table.h"
#include "network-stock.h"
#include "pool.h"

enum { START_MS_MAX = 10000, NETWORKS_KEPT_MAX = 64, FILES_PER_JAIL_MAX = 3, FILES_OF_ITS_OWN_MAX = 160 };

void jail_reply_created(struct jail *jail)
{
	struct create_reply reply = { .kind = FROM_CREATE_REPLY, .seq = jail->create_seq, .error = jail->fault.error };
	memcpy(reply.name, jail->plan.name, sizeof(reply.name));
	jail->create_pending = false;
	if (jail->fault.error != E_NONE) {
		reply.sys_errno = jail->fault.sys_errno;
		memcpy(reply.detail, jail->fault.detail, sizeof(reply.detail));
		send_to_codec(&reply, sizeof(reply), NULL, 0);
		return;
	}
	reply.uid = jail->plan.uid;
	reply.init_pid = jail->pid;
	reply.layers = LAYERS_ALL;
	jail->announced = true;
	send_to_codec(&reply, sizeof(reply), &jail->codec_control_fd, 1);
	close_fd(&jail->codec_control_fd);
}

/* Our own hard limits: what is lowered at the claim can only be lowered. */
static void fill_plan(struct sandbox_plan *plan, uint32_t uid, const struct sandbox_limits *limits)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die_errno("zygote: cannot read the limit of open files");
	plan->uid = uid;
	format_text(plan->cgroup, sizeof(plan->cgroup), "s%u", uid);
	sandbox_plan_name(plan, PREPARED_NAME);
	plan->limits = *limits;
	plan->limits.open_files_max = files.rlim_max < UINT32_MAX ? (uint32_t)files.rlim_max : UINT32_MAX;
	plan->limits.pids_max = PIDS_MAX;
	plan->cgroup_limits = sandbox_cgroup_limits(limits);
	memcpy(plan->outer_namespaces, zygote.outer_namespaces, sizeof(zygote.outer_namespaces));
}

static struct jail *new_jail(struct fault *fault)
{
	uint32_t index;
	if (!jail_table_place(&index)) {
		fail(fault, E_LIMIT_SANDBOXES, 0, "there are %d sandboxes already", SANDBOXES_MAX);
		return NULL;
	}
	/* Where few descriptors are allowed the sandboxes are fewer, and not the end of all of them. */
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || (index + 1) * FILES_PER_JAIL_MAX + FILES_OF_ITS_OWN_MAX > files.rlim_cur) {
		fail(fault, E_LIMIT_SANDBOXES, EMFILE, "the warden may not open the files of sandbox %u", index + 1);
		return NULL;
	}
	struct jail *jail = calloc(1, sizeof(*jail));
	if (jail == NULL) {
		fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another sandbox");
		return NULL;
	}
	jail->index = index;
	jail->status_fd = jail->codec_control_fd = jail->sealed_fd = jail->network_fd = jail->relay_listen_fd = jail->idmap_fd = -1;
	jail->retry_at_ms = jail->give_up_at_ms = jail->deadline_ms = NEVER_MS;
	return jail;
}

static int start(struct jail *jail, struct fault *fault)
{
	int control[2], status[2];
	if (cgroup_create(zygote.cgroups, jail->plan.cgroup, &jail->plan.cgroup_limits, fault) != 0)
		return -1;
	if (jail->plan.network == NETWORK_PROXIED && cgroup_bound_tcp(zygote.cgroups, jail->plan.cgroup, fault) != 0) {
		cgroup_remove(zygote.cgroups, jail->plan.cgroup);
		return -1;
	}
	jail->network_fd = network_stock_take(&zygote.network_maker_fd);
	packet_pair(control);
	packet_pair(status);
	const struct child_fds fds = { .control = control[1], .status = status[1], .zygote_pid = zygote.own_pid_fd, .network = jail->network_fd,
				       .proc = zygote.proc_fd };
	jail->pid = sandbox_start(&jail->plan, zygote.cgroups, &fds, fault);
	close_fd(&control[1]);
	close_fd(&status[1]);
	if (jail->pid < 0) {
		close_fd(&control[0]);
		close_fd(&status[0]);
		cgroup_remove(zygote.cgroups, jail->plan.cgroup);
		return -1;
	}
	/* Among many sandboxes few end soon, and every clone copies the table of descriptors. */
	if (jail->index >= NETWORKS_KEPT_MAX)
		close_fd(&jail->network_fd);
	jail->codec_control_fd = control[0];
	jail->status_fd = status[0];
	return 0;
}

struct jail *jail_prepare(uint32_t uid, enum network_mode network, const struct sandbox_limits *limits, struct fault *fault)
{
	struct jail *jail = new_jail(fault);
	if (jail == NULL)
		return NULL;
	fill_plan(&jail->plan, uid, limits);
	jail->plan.network = network;
	if (start(jail, fault) != 0) {
		network_stock_give(&jail->network_fd);
		free(jail);
		return NULL;
	}
	jail->state = PREPARING;
	zygote.counts[network][PREPARING]++;
	jail->give_up_at_ms = boot_ms() + START_MS_MAX;
	jail_table_add(jail);
	watch(jail->status_fd, FROM_STATUS, jail->index);
	return jail;
}

/* What the claim changed is proven anew: the limits, and the flags of what was mounted. The rest stands as it was proven, since
 * nothing ran here; and every program's own process proves the inside again before it becomes the program. */
static int prove_claim(const struct jail *jail, bool changed, struct fault *fault)
{
	uint32_t missing = changed ? LAYERS_SEEN_OUTSIDE & ~LAYER_BIT(LAYER_RLIMITS) : 0;
	if (changed)
		missing &= ~layers_seen_outside(&jail->plan, zygote.cgroups, zygote.proc_fd, jail->pid);
	if (missing == 0)
		return 0;
	*fault = (struct fault){ .error = E_LAYER_MISSING };
	layers_missing_text(missing, fault->detail);
	return -1;
}

static int tell_init(const struct jail *jail, struct fault *fault)
{
	struct claim_order order = { .kind = TO_INIT_CLAIM, .limits = jail->plan.limits };
	memcpy(order.name, jail->plan.name, sizeof(order.name));
	if (send_packet(jail->codec_control_fd, &order, sizeof(order), NULL, 0) != 0)
		return fail(fault, E_SANDBOX_DEAD, errno, "the init of %s is gone", jail->plan.name);
	return 0;
}

static int claim(struct jail *jail, const struct create_request *request, const int *given_fds, struct fault *fault)
{
	struct sandbox_plan *plan = &jail->plan;
	struct sandbox_limits limits = request->limits;
	struct cgroup_limits cgroup_limits = sandbox_cgroup_limits(&limits);
	bool limits_change = memcmp(&cgroup_limits, &plan->cgroup_limits, sizeof(cgroup_limits)) != 0;
	limits.open_files_max = limits.open_files_max < plan->limits.open_files_max ? limits.open_files_max : plan->limits.open_files_max;
	if (mounts_name(plan, jail->sealed_fd, fault) != 0 || name_host(jail, plan->name, fault) != 0 || resize_scratch(jail, &limits, fault) != 0 ||
	    jail_change_limits(jail, &cgroup_limits, fault) != 0)
		return -1;
	close_fd(&jail->sealed_fd);
	if (limits.disk_kind == DISK_EXT4 && replace_disk(jail, given_fds[create_fd_count(request) - 1], fault) != 0)
		return -1;
	plan->limits = limits;
	for (uint32_t i = 0; i < request->mount_count; i++) {
		if (grants_attach(jail, i + 1, &request->mounts[i], given_fds[i], 0, fault) != 0)
			return -1;
	}
	if (prove_claim(jail, limits_change || create_fd_count(request) > 0, fault) != 0)
		return -1;
	return tell_init(jail, fault);
}

void jail_claim(struct jail *jail, const struct create_request *request, const int *fds)
{
	struct fault fault = { 0 };
	uint64_t now_ms = boot_ms();
	sandbox_plan_name(&jail->plan, request->name);
	jail->claimed = jail->create_pending = true;
	jail->create_seq = request->seq;
	jail_set_state(jail, ALIVE);
	if (claim(jail, request, fds, &fault) != 0) {
		jail_fail(jail, &fault);
		return;
	}
	jail->deadline_ms = request->timeout_ms == 0 || request->timeout_ms > NEVER_MS - now_ms ? NEVER_MS : now_ms + request->timeout_ms;
	/* Answered when the relay has answered, or when it is gone. */
	if (request->network == NETWORK_NONE)
		jail_reply_created(jail);
	else if (jail_relay_open(jail, request->endpoint, fds[request->mount_count], &fault) != 0)
		jail_fail(jail, &fault);
}

void jail_order(struct create_request *request, ssize_t size, const int *fds, size_t fd_count)
{
	struct fault fault = { 0 };
	if (size < (ssize_t)create_request_size(0) || request->mount_count > MOUNTS_MAX ||
	    size != (ssize_t)create_request_size(request->mount_count) || fd_count != create_fd_count(request))
		die("zygote: a create_request of %zd bytes with %zu mounts", size, fd_count);
	request->name[SESSION_NAME_SIZE - 1] = '\0';
	if (jail_find(request->name) != NULL || pool_has_order(request->name))
		fail(&fault, E_NAME_INVALID, EEXIST, "a sandbox of this name lives or is being removed");
	else if (sandbox_request_check(request, &fault) == 0)
		pool_order(request, fds, &fault);
	if (fault.error == E_NONE)
		return;
	struct create_reply reply = { .kind = FROM_CREATE_REPLY, .seq = request->seq, .error = fault.error, .sys_errno = fault.sys_errno };
	memcpy(reply.name, request->name, sizeof(reply.name));
	memcpy(reply.detail, fault.detail, sizeof(reply.detail));
	send_to_codec(&reply, sizeof(reply), NULL, 0);
}
