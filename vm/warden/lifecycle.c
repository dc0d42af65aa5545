/* The life of one sandbox, from its clone to the proof that nothing is left.
 * Runs in the zygote; see the invariants there. Owns struct jail and its descriptors. */
#include "lifecycle.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "codec.h"

enum { START_MS_MAX = 10000, REMOVE_MS_MAX = 10000, FREEZE_MS_MAX = 5000, RETRY_MS_MAX = 50 };

struct jail *jail_find(const char *name)
{
	for (uint32_t i = 0; i < zygote.jails_end; i++)
		if (zygote.jails[i] != NULL && strcmp(zygote.jails[i]->plan.name, name) == 0)
			return zygote.jails[i];
	return NULL;
}

static void release(struct jail *jail)
{
	zygote.jails[jail->index] = NULL;
	while (zygote.jails_end > 0 && zygote.jails[zygote.jails_end - 1] == NULL)
		zygote.jails_end--;
	free(jail);
}

static void retry_later(struct jail *jail, uint64_t now_ms)
{
	jail->retry_at_ms = now_ms + jail->retry_delay_ms;
	jail->retry_delay_ms = jail->retry_delay_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : jail->retry_delay_ms * 2;
}

static void reply_created(struct jail *jail, uint32_t layers)
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

static void finish_freeze(struct jail *jail, const struct fault *fault)
{
	jail->freeze_pending = false;
	jail->retry_at_ms = NEVER_MS;
	reply_op(OP_FREEZE, jail->freeze_seq, jail->plan.name, fault, NULL);
}

void jail_kill(struct jail *jail, enum death_reason reason)
{
	if (jail->state == DYING || jail->state == CLEARING)
		return;
	jail->state = DYING;
	jail->killed = true;
	jail->kill_reason = reason;
	jail->deadline_ms = NEVER_MS;
	if (cgroup_kill(zygote.cgroups, jail->plan.name) != 0)
		complain("zygote: cannot kill the cgroup of %s: %s", jail->plan.name, strerror(errno));
	/* The kernel ends a pid namespace with its first process; this one is for the case above. */
	if (pidfd_send_signal(jail->pid_fd, SIGKILL, NULL, 0) != 0 && errno != ESRCH)
		complain("zygote: cannot kill the init of %s: %s", jail->plan.name, strerror(errno));
	if (jail->freeze_pending)
		finish_freeze(jail, &(struct fault){ .error = E_SANDBOX_DEAD, .detail = "it was killed meanwhile" });
}

static void fail_create(struct jail *jail, const struct fault *fault)
{
	if (jail->fault.error == E_NONE)
		jail->fault = *fault;
	jail_kill(jail, DEATH_ASKED);
}

/* Tries to remove the cgroups of a reaped sandbox; what is still busy is tried again later. True: it is gone, and freed. */
static bool try_remove(struct jail *jail, uint64_t now_ms)
{
	const char *name = jail->plan.name;
	uint64_t left = cgroup_remove(zygote.cgroups, name);
	if (left > 0 && now_ms < jail->give_up_at_ms) {
		retry_later(jail, now_ms);
		return false;
	}
	if (left > 0) {
		/* Not provably gone: say so to whoever asked, and go on trying. */
		uint64_t values[7] = { cgroup_count_processes(zygote.cgroups, name), left };
		struct fault fault;
		fail(&fault, E_INTERNAL, EBUSY, "%" PRIu64 " processes and %" PRIu64 " cgroups of %s are left", values[0], left, name);
		complain("zygote: %s", fault.detail);
		if (jail->destroy_pending)
			reply_op(OP_DESTROY, jail->destroy_seq, name, &fault, values);
		jail->destroy_pending = false;
		jail->give_up_at_ms = now_ms + REMOVE_MS_MAX;
		jail->retry_at_ms = now_ms + RETRY_MS_MAX;
		return false;
	}
	if (jail->create_pending)
		reply_created(jail, 0);
	if (jail->destroy_pending)
		reply_op(OP_DESTROY, jail->destroy_seq, name, NULL, NULL);
	release(jail);
	return true;
}

static void announce_death(struct jail *jail, int wait_status)
{
	struct died_notice notice = { .kind = FROM_DIED, .reason = DEATH_ITSELF };
	memcpy(notice.name, jail->plan.name, sizeof(notice.name));
	notice.oom_kills = cgroup_oom_kills(zygote.cgroups, jail->plan.name);
	if (jail->killed)
		notice.reason = jail->kill_reason;
	else if (notice.oom_kills > 0)
		notice.reason = DEATH_OOM;
	format_text(notice.detail, sizeof(notice.detail), WIFSIGNALED(wait_status) ? "its init was ended by signal %d" : "its init exited with %d",
		    WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
	send_to_codec(&notice, sizeof(notice), NULL, 0);
}

void jail_on_init_end(struct jail *jail, uint64_t now_ms)
{
	int wait_status = 0;
	pid_t reaped;
	do
		reaped = waitpid(jail->pid, &wait_status, WNOHANG);
	while (reaped < 0 && errno == EINTR);
	if (reaped == 0)
		return;
	if (jail->create_pending && jail->fault.error == E_NONE)
		fail(&jail->fault, E_SETUP_FAILED, 0, "its first process ended during set-up (wait status %#x)", (unsigned int)wait_status);
	close_fd(&jail->pid_fd);
	close_fd(&jail->status_fd);
	close_fd(&jail->codec_control_fd);
	if (jail->announced)
		announce_death(jail, wait_status);
	if (jail->freeze_pending)
		finish_freeze(jail, &(struct fault){ .error = E_SANDBOX_DEAD, .detail = "it died meanwhile" });
	jail->state = CLEARING;
	jail->deadline_ms = NEVER_MS;
	jail->retry_delay_ms = 1;
	jail->give_up_at_ms = now_ms + REMOVE_MS_MAX;
	try_remove(jail, now_ms);
}

void jail_on_status(struct jail *jail)
{
	struct child_status status;
	struct fault fault;
	ssize_t size = receive_packet(jail->status_fd, &status, sizeof(status), NULL, 0, NULL);
	close_fd(&jail->status_fd);
	if (jail->state != STARTING || size == 0)
		return; /* its end is on the way, and says the rest */
	if (size != (ssize_t)sizeof(status))
		die("zygote: a status of %zd bytes", size);
	if (status.fault.error != E_NONE) {
		fail_create(jail, &status.fault);
		return;
	}
	uint32_t outside = layers_seen_outside(&jail->plan, zygote.cgroups, zygote.proc_fd, jail->pid);
	/* A layer counts when every side that can see it saw it. */
	uint32_t layers = (outside | ~LAYERS_SEEN_OUTSIDE) & (status.layers | ~LAYERS_SEEN_INSIDE) & LAYERS_ALL;
	if (layers != LAYERS_ALL) {
		fault = (struct fault){ .error = E_LAYER_MISSING };
		layers_missing_text(LAYERS_ALL & ~layers, fault.detail);
		fail_create(jail, &fault);
		return;
	}
	jail->state = ALIVE;
	reply_created(jail, layers);
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
	packet_pair(control);
	packet_pair(status);
	const struct child_fds fds = { .control = control[1], .status = status[1], .zygote_pid = zygote.own_pid_fd };
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

void jail_freeze(struct jail *jail, uint32_t seq, struct fault *fault)
{
	if (jail->freeze_pending) {
		fail(fault, E_INTERNAL, EBUSY, "it is being frozen already");
	} else if (cgroup_freeze(zygote.cgroups, jail->plan.name, true) != 0) {
		fail(fault, E_INTERNAL, errno, "cannot freeze %s", jail->plan.name);
	} else {
		uint64_t now_ms = boot_ms();
		/* Every task must reach a stop first; answered from the timer when they have. */
		jail->freeze_pending = true;
		jail->freeze_seq = seq;
		jail->retry_delay_ms = 1;
		jail->retry_at_ms = now_ms;
		jail->give_up_at_ms = now_ms + FREEZE_MS_MAX;
	}
}

void jail_thaw(struct jail *jail, struct fault *fault)
{
	if (jail->freeze_pending)
		finish_freeze(jail, &(struct fault){ .error = E_INTERNAL, .detail = "it was thawed meanwhile" });
	if (cgroup_freeze(zygote.cgroups, jail->plan.name, false) != 0)
		fail(fault, E_INTERNAL, errno, "cannot thaw %s", jail->plan.name);
}

static void check_freeze(struct jail *jail, uint64_t now_ms)
{
	struct fault fault;
	if (cgroup_is_frozen(zygote.cgroups, jail->plan.name)) {
		finish_freeze(jail, NULL);
	} else if (now_ms >= jail->give_up_at_ms) {
		fail(&fault, E_INTERNAL, ETIMEDOUT, "a process of %s does not stop", jail->plan.name);
		finish_freeze(jail, &fault);
	} else {
		retry_later(jail, now_ms);
	}
}

void jail_destroy(struct jail *jail, uint32_t seq, struct fault *fault)
{
	if (jail->destroy_pending) {
		fail(fault, E_INTERNAL, EBUSY, "%s is being destroyed", jail->plan.name);
		return;
	}
	jail->destroy_pending = true;
	jail->destroy_seq = seq;
	if (jail->create_pending && jail->fault.error == E_NONE)
		fail(&jail->fault, E_SANDBOX_DEAD, 0, "it was destroyed while it was being created");
	jail_kill(jail, DEATH_ASKED);
}

uint64_t jail_run_timers(struct jail *jail, uint64_t now_ms)
{
	if (jail->state == STARTING && now_ms >= jail->give_up_at_ms)
		fail_create(jail, &(struct fault){ .error = E_SETUP_FAILED, .sys_errno = ETIMEDOUT, .detail = "its set-up took too long" });
	if (now_ms >= jail->deadline_ms)
		jail_kill(jail, DEATH_DEADLINE);
	if (jail->freeze_pending && now_ms >= jail->retry_at_ms)
		check_freeze(jail, now_ms);
	if (jail->state == CLEARING && now_ms >= jail->retry_at_ms && try_remove(jail, now_ms))
		return NEVER_MS;
	uint64_t due_ms = jail->state == STARTING ? jail->give_up_at_ms : jail->retry_at_ms;
	return due_ms < jail->deadline_ms ? due_ms : jail->deadline_ms;
}
