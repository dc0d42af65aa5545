/* Sandboxes that are prepared before anybody asks for them, and orders that wait for one: pool.c. */
#ifndef COHORT_POOL_H
#define COHORT_POOL_H

#include "lifecycle.h"

/* A creation whose request was found good. Takes copies; the descriptors stay the caller's. */
int pool_order(const struct create_request *request, const int *mount_fds, struct fault *fault);
bool pool_has_order(const char *name);
/* Refuses the order of this name, if there is one: its sandbox is not wanted any more. */
void pool_cancel(const char *name);
void pool_take_uids(const struct uid_block *block);
/* Claims for who waits, and prepares what is missing. Called whenever something of that may have changed. */
void pool_turn(uint64_t now_ms);
/* When pool_turn wants to be called next. */
uint64_t pool_due_ms(void);
/* A preparation that failed: with the fault, whoever waited for it is refused. */
void pool_failed(const struct fault *fault);

/* creation.c */
/* Starts the preparation of one; NULL with the fault. */
struct jail *jail_prepare(uint32_t uid, const struct sandbox_limits *limits, struct fault *fault);
/* Makes a prepared sandbox the one that was asked for, and answers the codec, now or when its removal is proven. */
void jail_claim(struct jail *jail, const struct create_request *request, const int *mount_fds);

#endif
