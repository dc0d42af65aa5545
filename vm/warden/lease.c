/* The supervisor's lease; see lease.h. Pure. */
#include "lease.h"

enum lease_action lease_heard(struct lease *lease, uint64_t now_ms)
{
	bool frozen = lease->state == LEASE_FROZEN;
	lease->heard_at_ms = now_ms;
	if (lease->state != LEASE_NONE)
		lease->state = LEASE_HELD;
	return frozen ? LEASE_DO_THAW : LEASE_DO_NOTHING;
}

enum lease_action lease_take(struct lease *lease, uint64_t freeze_after_ms, uint64_t kill_after_ms, uint64_t now_ms)
{
	bool frozen = lease->state == LEASE_FROZEN;
	lease->freeze_after_ms = freeze_after_ms;
	lease->kill_after_ms = kill_after_ms > freeze_after_ms ? kill_after_ms : freeze_after_ms;
	lease->heard_at_ms = now_ms;
	lease->state = LEASE_HELD;
	return frozen ? LEASE_DO_THAW : LEASE_DO_NOTHING;
}

uint64_t lease_next_ms(const struct lease *lease)
{
	if (lease->state == LEASE_HELD)
		return lease->heard_at_ms + lease->freeze_after_ms;
	if (lease->state == LEASE_FROZEN)
		return lease->heard_at_ms + lease->kill_after_ms;
	return UINT64_MAX;
}

enum lease_action lease_tick(struct lease *lease, uint64_t now_ms)
{
	if (now_ms < lease_next_ms(lease))
		return LEASE_DO_NOTHING;
	/* After a long sleep of the machine both may be due; the kill needs no freeze before it. */
	if (now_ms >= lease->heard_at_ms + lease->kill_after_ms) {
		lease->state = LEASE_EXPIRED;
		return LEASE_DO_KILL;
	}
	lease->state = LEASE_FROZEN;
	return LEASE_DO_FREEZE;
}
