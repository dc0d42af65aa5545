/* Standing still. Runs in the zygote; see the invariants there.
 *
 * Owns: whether the processes of a sandbox move. Two ways: the lease stops all of it; a request all of it but its init, so that what
 * stands still can be looked at and collected from, and nothing that it changed is lost with a grant.
 * Invariants:
 *   F1 A request is answered when every process but the init stands still, and from then to the thaw none of them runs, not for a moment:
 *      the whole is frozen first, they are moved, and only then goes the init on.
 *   F2 Nothing waits: the moves are done in turns of a few milliseconds. */
#include <string.h>

#include "lifecycle.h"

enum { FREEZE_MS_MAX = 5000, TURN_MS = 3 };

static void finish(struct jail *jail, const struct fault *fault)
{
	jail->freeze_pending = false;
	jail->retry_at_ms = NEVER_MS;
	reply_op(OP_FREEZE, jail->freeze_seq, jail->plan.name, fault, NULL);
}

void jail_freeze_fails(struct jail *jail, enum warden_error error, const char *why)
{
	struct fault fault;
	if (!jail->freeze_pending)
		return;
	fail(&fault, error, 0, "%s", why);
	finish(jail, &fault);
}

void jail_freeze(struct jail *jail, uint32_t seq, struct fault *fault)
{
	if (jail->freeze_pending) {
		fail(fault, E_INTERNAL, EBUSY, "it is being frozen already");
	} else if (cgroup_freeze(zygote.cgroups, jail->plan.cgroup, true) != 0) {
		fail(fault, E_INTERNAL, errno, "cannot freeze %s", jail->plan.name);
	} else {
		uint64_t now_ms = boot_ms();
		/* Every task must reach a stop first; answered from the timer when they have. */
		jail->frozen = true;
		jail->freeze_pending = true;
		jail->freeze_seq = seq;
		jail->retry_delay_ms = 1;
		jail->retry_at_ms = now_ms;
		jail->give_up_at_ms = now_ms + FREEZE_MS_MAX;
	}
}

void jail_freeze_at_once(struct jail *jail)
{
	jail_freeze_fails(jail, E_INTERNAL, "the lease ended meanwhile");
	jail->frozen = true;
	if (cgroup_freeze(zygote.cgroups, jail->plan.cgroup, true) != 0)
		complain("zygote: cannot freeze %s: %s", jail->plan.name, strerror(errno));
}

void jail_thaw(struct jail *jail, struct fault *fault)
{
	jail_freeze_fails(jail, E_INTERNAL, "it was thawed meanwhile");
	jail->frozen = false;
	if (cgroup_still_thaw(zygote.cgroups, jail->plan.cgroup) != 0 || cgroup_freeze(zygote.cgroups, jail->plan.cgroup, false) != 0)
		fail(fault, E_INTERNAL, errno, "cannot thaw %s", jail->plan.name);
}

/* All of it stands still. What fails here leaves it so. */
static void let_init_go_on(struct jail *jail, uint64_t now_ms)
{
	struct fault fault;
	int filled = cgroup_still_fill(zygote.cgroups, jail->plan.cgroup, jail->pid, boot_ms() + TURN_MS);
	if (filled == 0) {
		jail->retry_at_ms = now_ms + 1;
		return;
	}
	jail->frozen = filled < 0;
	if (filled < 0 || cgroup_freeze(zygote.cgroups, jail->plan.cgroup, false) != 0) {
		fail(&fault, E_INTERNAL, errno, "cannot let the init of %s go on beside what is frozen", jail->plan.name);
		finish(jail, &fault);
		return;
	}
	finish(jail, NULL);
}

void jail_freeze_go_on(struct jail *jail, uint64_t now_ms)
{
	if (cgroup_is_frozen(zygote.cgroups, jail->plan.cgroup))
		let_init_go_on(jail, now_ms);
	else if (now_ms >= jail->give_up_at_ms)
		jail_freeze_fails(jail, E_INTERNAL, "a process of it does not stop");
	else
		jail_retry_later(jail, now_ms);
}
