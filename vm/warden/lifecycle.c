/* The life of one sandbox, from its clone to the proof that nothing is left.
 * Runs in the zygote; see the invariants there. Owns struct jail and its descriptors. */
#include "lifecycle.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "jail-table.h"
#include "network-stock.h"
#include "pool.h"

enum { REMOVE_MS_MAX = 10000, RETRY_MS_MAX = 50 };

void jail_set_state(struct jail *jail, enum jail_state state)
{
	zygote.counts[jail->plan.network][jail->state]--;
	zygote.counts[jail->plan.network][state]++;
	jail->state = state;
	jail_table_note(jail);
}

static void release(struct jail *jail)
{
	/* Its network namespace is as it was: with no process left no socket is, but for pairs that the kernel has not swept up yet and
	 * nobody can reach; to change anything else in it needs a capability that no child has. One that was proxied is not. */
	if (jail->plan.network == NETWORK_NONE)
		network_stock_give(&jail->network_fd);
	close_fd(&jail->network_fd);
	close_fd(&jail->idmap_fd);
	zygote.counts[jail->plan.network][jail->state]--;
	jail_table_remove(jail);
	free(jail);
}

void jail_retry_later(struct jail *jail, uint64_t now_ms)
{
	jail->retry_at_ms = now_ms + jail->retry_delay_ms;
	jail->retry_delay_ms = jail->retry_delay_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : jail->retry_delay_ms * 2;
}

int jail_change_limits(struct jail *jail, const struct cgroup_limits *limits, struct fault *fault)
{
	struct cgroup_limits *now = &jail->plan.cgroup_limits;
	if (cgroup_change_limits(zygote.cgroups, jail->plan.cgroup, now, limits, fault) != 0) {
		jail->limits_unsure = true;
		return -1;
	}
	*now = *limits;
	return 0;
}

void jail_kill(struct jail *jail, enum death_reason reason)
{
	if (jail->state == DYING || jail->state == CLEARING)
		return;
	jail_set_state(jail, DYING);
	jail->killed = true;
	jail->kill_reason = reason;
	jail->deadline_ms = NEVER_MS;
	if (cgroup_kill(zygote.cgroups, jail->plan.cgroup) != 0)
		complain("zygote: cannot kill the cgroup of %s: %s", jail->plan.name, strerror(errno));
	/* The kernel ends a pid namespace with its first process; this one is for the case above. */
	if (kill(jail->pid, SIGKILL) != 0)
		complain("zygote: cannot kill the init of %s: %s", jail->plan.name, strerror(errno));
	jail_freeze_fails(jail, E_SANDBOX_DEAD, "it was killed meanwhile");
}

void jail_fail(struct jail *jail, const struct fault *fault)
{
	bool is_preparation = jail->state == PREPARING;
	if (jail->fault.error == E_NONE)
		jail->fault = *fault;
	jail_kill(jail, DEATH_ASKED);
	if (is_preparation)
		pool_failed(jail->plan.network, fault);
}

/* Tries to remove the cgroups of a reaped sandbox; what is still busy is tried again later. True: it is gone, and freed. */
static bool try_remove(struct jail *jail, uint64_t now_ms)
{
	const char *name = jail->plan.name;
	/* A proxied one's has a limit of its own (cgroup_bound_tcp). */
	bool serves_again = jail->plan.network == NETWORK_NONE && !jail->limits_unsure;
	uint64_t left = serves_again ? cgroup_let_go(zygote.cgroups, jail->plan.cgroup, &jail->plan.cgroup_limits)
				     : cgroup_remove(zygote.cgroups, jail->plan.cgroup);
	/* Its place at the relay counts as one more. */
	left += jail_relay_is_closed(jail) ? 0 : 1;
	if (left > 0 && now_ms < jail->give_up_at_ms) {
		jail_retry_later(jail, now_ms);
		return false;
	}
	if (left > 0) {
		/* Not provably gone: say so to whoever asked, and go on trying. */
		uint64_t values[7] = { cgroup_count_processes(zygote.cgroups, jail->plan.cgroup), left };
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
		jail_reply_created(jail);
	if (jail->destroy_pending)
		reply_op(OP_DESTROY, jail->destroy_seq, name, NULL, NULL);
	release(jail);
	return true;
}

static void announce_death(struct jail *jail, int wait_status)
{
	struct died_notice notice = { .kind = FROM_DIED, .reason = DEATH_ITSELF };
	memcpy(notice.name, jail->plan.name, sizeof(notice.name));
	notice.oom_kills = cgroup_oom_kills(zygote.cgroups, jail->plan.cgroup);
	if (jail->killed)
		notice.reason = jail->kill_reason;
	else if (notice.oom_kills > 0)
		notice.reason = DEATH_OOM;
	format_text(notice.detail, sizeof(notice.detail), WIFSIGNALED(wait_status) ? "its init was ended by signal %d" : "its init exited with %d",
		    WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
	send_to_codec(&notice, sizeof(notice), NULL, 0);
}

void jail_on_init_end(struct jail *jail, int wait_status, uint64_t now_ms)
{
	if (jail->state == PREPARING) {
		struct fault fault;
		fail(&fault, E_SETUP_FAILED, 0, "its first process ended during set-up (wait status %#x)", (unsigned int)wait_status);
		jail_fail(jail, &fault);
	}
	unwatch(&jail->status_fd);
	close_fd(&jail->codec_control_fd);
	close_fd(&jail->sealed_fd);
	grants_on_death(jail);
	if (jail->create_pending && jail->fault.error == E_NONE)
		fail(&jail->fault, E_SANDBOX_DEAD, 0, "it ended while it was being created");
	if (jail->announced)
		announce_death(jail, wait_status);
	jail_freeze_fails(jail, E_SANDBOX_DEAD, "it died meanwhile");
	jail_set_state(jail, CLEARING);
	jail->deadline_ms = NEVER_MS;
	jail->retry_delay_ms = 1;
	jail->give_up_at_ms = now_ms + REMOVE_MS_MAX;
	try_remove(jail, now_ms);
}

void jail_on_status(struct jail *jail)
{
	struct child_status status;
	struct fault fault;
	int fds[] = { -1, -1, -1 };
	const size_t wanted = jail->plan.network == NETWORK_PROXIED ? 3 : 2;
	size_t fd_count = 0;
	ssize_t size = receive_packet(jail->status_fd, &status, sizeof(status), fds, ARRAY_LENGTH(fds), &fd_count);
	CLEANUP_FD int listener_fd = fds[1];
	jail->sealed_fd = fds[0];
	jail->relay_listen_fd = fds[2];
	unwatch(&jail->status_fd);
	if (jail->state != PREPARING || size == 0)
		return; /* its end is on the way, and says the rest */
	if (size != (ssize_t)sizeof(status) || (status.fault.error == E_NONE && fd_count != wanted))
		die("zygote: a status of %zd bytes", size);
	if (status.fault.error != E_NONE) {
		jail_fail(jail, &status.fault);
		return;
	}
	uint32_t outside = layers_seen_outside(&jail->plan, zygote.cgroups, zygote.proc_fd, jail->pid);
	/* A layer counts when every side that can see it saw it. */
	uint32_t layers = (outside | ~LAYERS_SEEN_OUTSIDE) & (status.layers | ~LAYERS_SEEN_INSIDE) & LAYERS_ALL;
	if (layers != LAYERS_ALL) {
		fault = (struct fault){ .error = E_LAYER_MISSING };
		layers_missing_text(LAYERS_ALL & ~layers, fault.detail);
		jail_fail(jail, &fault);
		return;
	}
	const struct listener_notice notice = { .uid = jail->plan.uid };
	if (send_packet(zygote.witness_fd, &notice, sizeof(notice), &listener_fd, 1) != 0)
		die_errno("zygote: the witness takes no listener");
	jail->give_up_at_ms = NEVER_MS;
	jail_set_state(jail, PREPARED);
}

void jail_set_deadline(struct jail *jail, uint64_t timeout_ms)
{
	jail->deadline_ms = timeout_ms == 0 ? NEVER_MS : boot_ms() + timeout_ms;
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
	if (jail->state == PREPARING && now_ms >= jail->give_up_at_ms)
		jail_fail(jail, &(struct fault){ .error = E_SETUP_FAILED, .sys_errno = ETIMEDOUT, .detail = "its set-up took too long" });
	if (now_ms >= jail->deadline_ms)
		jail_kill(jail, DEATH_DEADLINE);
	if (jail->freeze_pending && now_ms >= jail->retry_at_ms)
		jail_freeze_go_on(jail, now_ms);
	if (jail->state == CLEARING && now_ms >= jail->retry_at_ms && try_remove(jail, now_ms))
		return NEVER_MS;
	uint64_t grants_due_ms = grants_run_timers(jail, now_ms);
	uint64_t due_ms = jail->state == PREPARING ? jail->give_up_at_ms : jail->retry_at_ms;
	due_ms = grants_due_ms < due_ms ? grants_due_ms : due_ms;
	return due_ms < jail->deadline_ms ? due_ms : jail->deadline_ms;
}
