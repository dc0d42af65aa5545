/* The first part of a sandbox's life in the zygote: a request becomes a plan,
 * cgroups and a cloned child, or a refusal. What follows is in lifecycle.c. */
#include "lifecycle.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "network-stock.h"

enum { START_MS_MAX = 10000 };

void jail_reply_created(struct jail *jail, uint32_t layers)
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
	reply.layers = layers;
	jail->announced = true;
	send_to_codec(&reply, sizeof(reply), &jail->codec_control_fd, 1);
	close_fd(&jail->codec_control_fd);
}

static void refuse(const struct create_request *request, const struct fault *fault)
{
	struct create_reply reply = { .kind = FROM_CREATE_REPLY, .seq = request->seq, .error = fault->error, .sys_errno = fault->sys_errno };
	memcpy(reply.name, request->name, sizeof(reply.name));
	memcpy(reply.detail, fault->detail, sizeof(reply.detail));
	send_to_codec(&reply, sizeof(reply), NULL, 0);
}

static struct jail *new_jail(const struct create_request *request, struct fault *fault)
{
	uint32_t index = 0;
	while (index < SANDBOXES_MAX && zygote.jails[index] != NULL)
		index++;
	if (index == SANDBOXES_MAX) {
		fail(fault, E_LIMIT_SANDBOXES, 0, "there are %d sandboxes already", SANDBOXES_MAX);
		return NULL;
	}
	struct jail *jail = calloc(1, sizeof(*jail));
	if (jail == NULL) {
		fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another sandbox");
		return NULL;
	}
	jail->index = index;
	jail->pid_fd = jail->status_fd = jail->codec_control_fd = -1;
	jail->retry_at_ms = jail->give_up_at_ms = NEVER_MS;
	jail->create_seq = request->seq;
	if (sandbox_plan_fill(&jail->plan, request, fault) != 0) {
		free(jail);
		return NULL;
	}
	memcpy(jail->plan.outer_namespaces, zygote.outer_namespaces, sizeof(zygote.outer_namespaces));
	return jail;
}

static int start(struct jail *jail, struct fault *fault)
{
	int control[2], status[2];
	if (cgroup_create(zygote.cgroups, jail->plan.name, &jail->plan.limits, fault) != 0)
		return -1;
	CLEANUP_FD int network = network_stock_take(zygote.network_maker_fd);
	packet_pair(control);
	packet_pair(status);
	const struct child_fds fds = { .control = control[1], .status = status[1], .zygote_pid = zygote.own_pid_fd, .network = network };
	jail->pid = sandbox_start(&jail->plan, zygote.cgroups, &fds, &jail->pid_fd, fault);
	close_fd(&control[1]);
	close_fd(&status[1]);
	if (jail->pid < 0) {
		close_fd(&control[0]);
		close_fd(&status[0]);
		cgroup_remove(zygote.cgroups, jail->plan.name);
		return -1;
	}
	jail->codec_control_fd = control[0];
	jail->status_fd = status[0];
	return 0;
}

void jail_create(const struct create_request *request, const int mount_fds[MOUNTS_MAX])
{
	struct fault fault = { 0 };
	struct jail *jail = NULL;
	if (jail_find(request->name) != NULL)
		fail(&fault, E_NAME_INVALID, EEXIST, "a sandbox of this name lives or is being removed");
	else
		jail = new_jail(request, &fault);
	if (jail == NULL) {
		refuse(request, &fault);
		return;
	}
	memcpy(jail->plan.mount_fds, mount_fds, sizeof(jail->plan.mount_fds));
	if (start(jail, &fault) != 0) {
		refuse(request, &fault);
		free(jail);
		return;
	}
	uint64_t now_ms = boot_ms();
	jail->state = STARTING;
	jail->create_pending = true;
	jail->give_up_at_ms = now_ms + START_MS_MAX;
	jail->deadline_ms = request->timeout_ms == 0 || request->timeout_ms > NEVER_MS - now_ms ? NEVER_MS : now_ms + request->timeout_ms;
	zygote.jails[jail->index] = jail;
	if (jail->index >= zygote.jails_end)
		zygote.jails_end = jail->index + 1;
	watch(jail->pid_fd, FROM_PID, jail->index);
	watch(jail->status_fd, FROM_STATUS, jail->index);
}
