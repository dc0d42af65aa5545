/* Grants of each sandbox. Runs in the zygote; see the invariants there.
 *
 * Owns: the list of a jail's grants, their ends on CLOCK_BOOTTIME, and the process that revokes (at most one a jail, so that revocations
 * of one sandbox are one after another, and those of different ones at the same time).
 * Invariants:
 *   R1 A revocation is answered with the proof: either every part was unmounted without force while it was read-only, or every process
 *      of the sandbox is gone.
 *   R2 A revocation that finds no proof kills the sandbox; so does a revoker that ends without a word.
 *   R3 The id of a grant that ended is never used again in its sandbox. */
#include "grants.h"

#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "jail-table.h"

enum { REVOKER_MS_MAX = 8000 };

static struct grant *find(const struct jail *jail, uint32_t id)
{
	struct grant *grant = jail->grants.first;
	while (grant != NULL && grant->id != id)
		grant = grant->next;
	return grant;
}

static bool has_ended(const struct jail *jail, uint32_t id)
{
	for (uint32_t i = 0; i < jail->grants.ended_count; i++)
		if (jail->grants.ended[i] == id)
			return true;
	return false;
}

/* Room to remember the end of every grant is there before the grant is. */
static int reserve_end(struct jail *jail, struct fault *fault)
{
	struct jail_grants *grants = &jail->grants;
	uint32_t wanted = grants->ended_count + grants->count + 1;
	if (wanted > GRANTS_EVER_MAX)
		return fail(fault, E_LIMIT_GRANTS, 0, "a sandbox has at most %d grants in its life", GRANTS_EVER_MAX);
	if (wanted <= grants->ended_capacity)
		return 0;
	uint32_t *grown = realloc(grants->ended, (wanted + 16) * sizeof(*grown));
	if (grown == NULL)
		return fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another grant");
	grants->ended = grown;
	grants->ended_capacity = wanted + 16;
	return 0;
}

/* A full layer must be ENOSPC for the child, not an end by the memory limit. */
static int change_memory(struct jail *jail, int64_t bytes, struct fault *fault)
{
	struct cgroup_limits changed = jail->plan.cgroup_limits;
	changed.memory_bytes += (uint64_t)bytes;
	return bytes == 0 ? 0 : jail_change_limits(jail, &changed, fault);
}

static int attach(struct jail *jail, struct grant *grant, int mount_fd, struct fault *fault)
{
	static const uint64_t staged_bytes_max = UINT64_C(1) << 50;
	if (!is_mount_target(grant->target))
		return fail(fault, E_MOUNT_TARGET_INVALID, 0, "the target of a grant is one plain path component");
	if (grant->mode != MOUNT_STAGED)
		return attach_mount(jail, mount_fd, grant->target, &grant->mount_ids[0], fault);
	if (grant->staged_bytes == 0 || grant->staged_bytes > staged_bytes_max)
		return fail(fault, E_SETUP_FAILED, 0, "a layer of %llu bytes cannot be", (unsigned long long)grant->staged_bytes);
	if (change_memory(jail, (int64_t)grant->staged_bytes, fault) != 0)
		return -1;
	if (stage_mount(jail, grant, mount_fd, fault) == 0)
		return 0;
	struct fault ignored;
	change_memory(jail, -(int64_t)grant->staged_bytes, &ignored);
	return -1;
}

int grants_attach(struct jail *jail, uint32_t id, const struct mount_request *mount, int mount_fd, uint64_t ttl_ms, struct fault *fault)
{
	uint64_t now_ms = boot_ms();
	if (jail->grants.count >= GRANTS_MAX)
		return fail(fault, E_LIMIT_GRANTS, 0, "a sandbox has at most %d grants at a time", GRANTS_MAX);
	if (reserve_end(jail, fault) != 0)
		return -1;
	struct grant *grant = calloc(1, sizeof(*grant));
	if (grant == NULL)
		return fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another grant");
	grant->id = id;
	grant->flags = mount->flags;
	grant->mode = mount->mode;
	grant->staged_bytes = mount->staged_bytes;
	memcpy(grant->target, mount->target, sizeof(grant->target) - 1);
	if (attach(jail, grant, mount_fd, fault) != 0) {
		free(grant);
		return -1;
	}
	grant->expires_ms = ttl_ms == 0 || ttl_ms > NEVER_MS - now_ms ? NEVER_MS : now_ms + ttl_ms;
	grant->next = jail->grants.first;
	jail->grants.first = grant;
	jail->grants.count++;
	return 0;
}

void grants_request(const struct grant_request *request, int mount_fd)
{
	struct fault fault = { 0 };
	uint64_t values[7] = { 0 };
	struct jail *jail = jail_find(request->name);
	const struct grant *grant = jail == NULL ? NULL : find(jail, request->grant_id);
	if (jail == NULL)
		fail(&fault, E_NAME_UNKNOWN, 0, "there is no sandbox %s", request->name);
	else if (jail->state != ALIVE)
		fail(&fault, E_SANDBOX_DEAD, 0, "%s is dead", request->name);
	else if (has_ended(jail, request->grant_id) || (grant != NULL && grant->ending))
		fail(&fault, E_GRANT_ENDED, 0, "grant %u of %s ended", request->grant_id, request->name);
	else if (grant == NULL && grants_attach(jail, request->grant_id, &request->mount, mount_fd, request->ttl_ms, &fault) == 0)
		grant = find(jail, request->grant_id);
	if (fault.error == E_NONE && grant != NULL) {
		values[0] = grant->mount_ids[0];
		values[1] = grant->flags;
	}
	reply_op(OP_GRANT, request->seq, request->name, &fault, values);
}

/* What was found, as all who wait get it; then the grant is a thing of the past. */
static void finish(struct jail *jail, struct grant *grant, bool child_killed)
{
	struct jail_grants *grants = &jail->grants;
	struct grant_ended_notice notice = {
		.kind = FROM_GRANT_ENDED, .grant_id = grant->id, .reason = grant->reason,
		.processes_killed = grant->processes_killed, .child_killed = child_killed,
	};
	const uint64_t values[7] = { grant->processes_killed, child_killed };
	memcpy(notice.name, jail->plan.name, sizeof(notice.name));
	send_to_codec(&notice, sizeof(notice), NULL, 0);
	for (uint32_t i = 0; i < grant->waiter_count; i++)
		reply_op(OP_REVOKE, grant->waiters[i], jail->plan.name, NULL, values);
	struct grant **at = &grants->first;
	while (*at != grant)
		at = &(*at)->next;
	*at = grant->next;
	grants->count--;
	if (grants->revoking == grant)
		grants->revoking = NULL;
	if (grants->ended_count < grants->ended_capacity)
		grants->ended[grants->ended_count++] = grant->id;
	free(grant);
}

static void start_revoker(struct jail *jail, struct grant *grant)
{
	int report[2];
	packet_pair(report);
	CLEANUP_FD int pid_fd = sandbox_process_open(jail);
	pid_t pid = pid_fd < 0 ? -1 : fork();
	if (pid == 0)
		revoker_main(jail, grant, pid_fd, report[1]);
	close_fd(&report[1]);
	if (pid < 0) {
		complain("zygote: cannot revoke grant %u of %s, so it is killed: %s", grant->id, jail->plan.name, strerror(errno));
		close_fd(&report[0]);
		jail_kill(jail, DEATH_REVOCATION);
		return;
	}
	jail->grants.revoking = grant;
	jail->grants.revoker_pid = pid;
	jail->grants.revoker_fd = report[0];
	jail->grants.revoker_until_ms = boot_ms() + REVOKER_MS_MAX;
	watch(report[0], FROM_REVOKER, jail->index);
}

static void end_revoker(struct jail *jail)
{
	struct jail_grants *grants = &jail->grants;
	if (grants->revoker_pid == 0)
		return;
	unwatch(&grants->revoker_fd);
	revoker_end(grants->revoker_pid);
	grants->revoker_pid = 0;
}

void grants_on_revoker(struct jail *jail)
{
	struct revoker_report report = { 0 };
	struct fault fault = { 0 };
	struct grant *grant = jail->grants.revoking;
	ssize_t size = receive_packet(jail->grants.revoker_fd, &report, sizeof(report), NULL, 0, NULL);
	end_revoker(jail);
	if (grant == NULL)
		return;
	bool proven = size == (ssize_t)sizeof(report) && report.proven != 0;
	grant->processes_killed = report.processes_killed;
	if (!proven) {
		/* All processes of the sandbox, once they are gone, are the proof. */
		complain("zygote: %s is killed, because grant %u could not be revoked otherwise: %s", jail->plan.name, grant->id,
			 size == (ssize_t)sizeof(report) ? report.fault.detail : "the process that should do it ended");
		jail_kill(jail, DEATH_REVOCATION);
		return;
	}
	uint64_t staged_bytes = grant->staged_bytes;
	finish(jail, grant, false);
	if (staged_bytes != 0 && change_memory(jail, -(int64_t)staged_bytes, &fault) != 0)
		complain("zygote: %s", fault.detail);
	/* The revoker froze what it searched. */
	if (!jail->frozen && jail->state == ALIVE && cgroup_freeze(zygote.cgroups, jail->plan.cgroup, false) != 0)
		complain("zygote: cannot thaw %s after a revocation: %s", jail->plan.name, strerror(errno));
}

bool grants_revoke(struct jail *jail, uint32_t seq, uint32_t id, struct fault *fault, uint64_t values[7])
{
	struct grant *grant = find(jail, id);
	values[0] = values[1] = 0;
	if (grant == NULL && jail->state == ALIVE && !has_ended(jail, id)) {
		/* Its source may still be on the way here: when it comes, it has ended already. */
		if (reserve_end(jail, fault) == 0)
			jail->grants.ended[jail->grants.ended_count++] = id;
		return true;
	}
	if (grant == NULL || jail->state == CLEARING)
		return true;
	if (grant->waiter_count == GRANT_WAITERS_MAX) {
		fail(fault, E_INTERNAL, EBUSY, "%d requests wait for the end of grant %u already", GRANT_WAITERS_MAX, id);
		return true;
	}
	grant->waiters[grant->waiter_count++] = seq;
	if (!grant->ending) {
		grant->ending = true;
		grant->reason = GRANT_END_REVOKED;
	}
	return false; /* begun by the timers, at the end of this round */
}

uint64_t grants_run_timers(struct jail *jail, uint64_t now_ms)
{
	struct jail_grants *grants = &jail->grants;
	uint64_t due_ms = NEVER_MS;
	struct grant *next = NULL;
	if (grants->first == NULL || jail->state != ALIVE)
		return NEVER_MS;
	for (struct grant *grant = grants->first; grant != NULL; grant = grant->next) {
		if (!grant->ending && now_ms >= grant->expires_ms) {
			grant->ending = true;
			grant->reason = GRANT_END_EXPIRED;
		}
		if (grant->ending && grant != grants->revoking)
			next = grant;
		else if (!grant->ending && grant->expires_ms < due_ms)
			due_ms = grant->expires_ms;
	}
	if (grants->revoker_pid != 0 && now_ms >= grants->revoker_until_ms) {
		complain("zygote: revoking grant %u of %s takes too long", grants->revoking->id, jail->plan.name);
		jail_kill(jail, DEATH_REVOCATION);
		return NEVER_MS;
	}
	if (grants->revoker_pid == 0 && next != NULL)
		start_revoker(jail, next);
	return grants->revoker_pid != 0 && grants->revoker_until_ms < due_ms ? grants->revoker_until_ms : due_ms;
}

void grants_on_death(struct jail *jail)
{
	struct jail_grants *grants = &jail->grants;
	struct grant *next = NULL;
	end_revoker(jail);
	for (struct grant *grant = grants->first; grant != NULL; grant = next) {
		next = grant->next;
		if (grant->ending)
			finish(jail, grant, jail->killed && jail->kill_reason == DEATH_REVOCATION);
		else
			free(grant);
	}
	free(grants->ended);
	*grants = (struct jail_grants){ 0 };
}
