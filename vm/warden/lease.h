/* The supervisor's lease: how long its sandboxes go on while nothing is heard of it. Pure; the clock is the caller's.
 *
 * held → (freeze_after_ms of silence) → frozen → (kill_after_ms of silence) → expired; any frame leads back to held. */
#ifndef COHORT_LEASE_H
#define COHORT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

enum lease_state { LEASE_NONE, LEASE_HELD, LEASE_FROZEN, LEASE_EXPIRED };
enum lease_action { LEASE_DO_NOTHING, LEASE_DO_FREEZE, LEASE_DO_KILL, LEASE_DO_THAW };

struct lease {
	enum lease_state state; /* LEASE_NONE: no supervisor has come yet */
	uint64_t freeze_after_ms, kill_after_ms;
	uint64_t heard_at_ms;
};

/* A supervisor said HELLO, or (lease_heard) any other frame. Answers THAW if what it left was frozen. */
enum lease_action lease_take(struct lease *lease, uint64_t freeze_after_ms, uint64_t kill_after_ms, uint64_t now_ms);
enum lease_action lease_heard(struct lease *lease, uint64_t now_ms);
enum lease_action lease_tick(struct lease *lease, uint64_t now_ms);
/* When the next tick can act; UINT64_MAX: never. */
uint64_t lease_next_ms(const struct lease *lease);

#endif
