/* Sandboxes that are prepared before anybody asks for them, and orders that wait for one: pool.c. */
#ifndef COHORT_POOL_H
#define COHORT_POOL_H

#include "lifecycle.h"

/* A creation whose request was found good. Takes copies; the descriptors stay the caller's. */
int pool_order(const struct create_request *request, const int *fds, struct fault *fault);
bool pool_has_order(const char *name);
/* Refuses the order of this name, if there is one: its sandbox is not wanted any more. */
void pool_cancel(const char *name);
void pool_take_uids(const struct uid_block *block);
/* Claims for who waits, and prepares what is missing. Called whenever something of that may have changed. */
void pool_turn(uint64_t now_ms);
/* When pool_turn wants to be called next. */
uint64_t pool_due_ms(void);
/* A preparation that failed: with the fault, whoever waited for it is refused. */
void pool_failed(enum network_mode network, const struct fault *fault);

/* creation.c */
/* Starts the preparation of one; NULL with the fault. */
struct jail *jail_prepare(uint32_t uid, enum network_mode network, const struct sandbox_limits *limits, struct fault *fault);
/* A packet that should be a request, with its descriptors: found good it becomes an order, else it is refused; ends the warden if it is no
 * request at all. */
void jail_order(struct create_request *request, ssize_t size, const int *fds, size_t fd_count);
/* fds: as they come with the request. Makes a prepared sandbox the one that was asked for, and answers the codec, now or when its removal is proven. */
void jail_claim(struct jail *jail, const struct create_request *request, const int *fds);

#endif
