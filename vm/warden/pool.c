/* Every sandbox is prepared first and claimed then. What a preparation fixes
 * (uid, namespaces, mounts, filters) takes milliseconds; what a claim adds
 * (name, limits, what the task may see) takes microseconds. A few are prepared
 * ahead; when none is, the order waits for the one that is made for it.
 *
 * Owns: orders, the uids that nobody has yet, and which jails are prepared.
 * Does not own: jails themselves (lifecycle.c).
 * Invariants:
 *   P1 Each order is answered once: by its claim, or by a refusal.
 *   P2 There are never fewer preparations than orders, unless uids or places are missing: then the orders wait or are refused.
 *   P3 A prepared sandbox is claimed once. Nothing was executed in it before.
 *   P4 A preparation that fails stops the filling of the pool until one is ordered: no loop of failures. */
#include "pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

/* Filling waits for a quiet moment, so that it does not slow the program that was just started; below half it does not wait. */
enum { PREPARED_MAX = 16, PREPARING_AHEAD_MAX = 2, UIDS_LOW = 32, QUIET_MS = 4 };

struct order {
	struct order *next;
	int mount_fds[MOUNTS_MAX];
	struct create_request request; /* last: without the mounts that it does not have */
};

static struct order *first_order, **last_order = &first_order;
static uint32_t order_count;
static struct uid_block uids, next_uids; /* the broker's blocks: in use, and ordered ahead */
static bool uids_asked, filling_stopped;
static uint64_t fill_at_ms;

/* As the task schema's defaults, until the first order tells what is wanted here. */
static struct sandbox_limits likely_limits = {
	.memory_bytes = 512u << 20, .disk_bytes = 256u << 20, .tmp_bytes = 64u << 20, .disk_inodes = 65536, .pids_max = 256, .open_files_max = 1024,
};

static void free_order(struct order *order)
{
	for (size_t i = 0; i < MOUNTS_MAX; i++)
		close_fd(&order->mount_fds[i]);
	free(order);
	order_count--;
}

static struct order *take_first(void)
{
	struct order *order = first_order;
	first_order = order->next;
	if (first_order == NULL)
		last_order = &first_order;
	return order;
}

static void refuse(struct order *order, const struct fault *fault)
{
	struct create_reply reply = { .kind = FROM_CREATE_REPLY, .seq = order->request.seq, .error = fault->error, .sys_errno = fault->sys_errno };
	memcpy(reply.name, order->request.name, sizeof(reply.name));
	memcpy(reply.detail, fault->detail, sizeof(reply.detail));
	send_to_codec(&reply, sizeof(reply), NULL, 0);
	free_order(order);
}

int pool_order(const struct create_request *request, const int *mount_fds, struct fault *fault)
{
	struct order *order = malloc(offsetof(struct order, request) + create_request_size(request->mount_count));
	if (order == NULL)
		return fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another sandbox");
	order->next = NULL;
	memcpy(&order->request, request, create_request_size(request->mount_count));
	bool copied = true;
	for (size_t i = 0; i < MOUNTS_MAX; i++) {
		order->mount_fds[i] = i < request->mount_count ? fcntl(mount_fds[i], F_DUPFD_CLOEXEC, 0) : -1;
		copied = copied && (i >= request->mount_count || order->mount_fds[i] >= 0);
	}
	order_count++;
	if (!copied) {
		free_order(order);
		return fail(fault, E_SETUP_FAILED, EMFILE, "no descriptor for the mounts of another sandbox");
	}
	*last_order = order;
	last_order = &order->next;
	likely_limits = request->limits;
	filling_stopped = false;
	return 0;
}

static struct order **find_order(const char *name)
{
	struct order **at = &first_order;
	while (*at != NULL && strcmp((*at)->request.name, name) != 0)
		at = &(*at)->next;
	return at;
}

bool pool_has_order(const char *name)
{
	return *find_order(name) != NULL;
}

void pool_cancel(const char *name)
{
	struct order **at = find_order(name);
	struct order *order = *at;
	if (order == NULL)
		return;
	*at = order->next;
	if (last_order == &order->next)
		last_order = at;
	refuse(order, &(struct fault){ .error = E_SANDBOX_DEAD, .detail = "it was destroyed while it was being created" });
}

void pool_failed(const struct fault *fault)
{
	filling_stopped = true;
	if (first_order == NULL)
		complain("zygote: a sandbox could not be prepared: %s", fault->detail);
	else if (zygote.counts[PREPARING] < order_count)
		refuse(take_first(), fault);
}

static void refuse_all(const struct fault *fault)
{
	filling_stopped = true;
	while (first_order != NULL)
		refuse(take_first(), fault);
}

void pool_take_uids(const struct uid_block *block)
{
	uids_asked = false;
	if (block->count == 0) {
		struct fault fault = { .error = (enum warden_error)block->error, .sys_errno = block->sys_errno };
		memcpy(fault.detail, block->detail, sizeof(fault.detail));
		refuse_all(&fault);
		return;
	}
	next_uids = *block;
}

/* False: there is none now. */
static bool take_uid(uint32_t *uid)
{
	if (uids.count == 0) {
		uids = next_uids;
		next_uids.count = 0;
	}
	if (uids.count < UIDS_LOW && next_uids.count == 0 && !uids_asked) {
		if (send_packet(zygote.broker_fd, "", 1, NULL, 0) != 0)
			die_errno("zygote: the broker is gone");
		uids_asked = true;
	}
	if (uids.count == 0)
		return false;
	uids.count--;
	*uid = uids.first++;
	return true;
}

/* False: not now. */
static bool prepare_one(void)
{
	uint32_t uid;
	struct fault fault = { 0 };
	if (!take_uid(&uid))
		return false;
	if (jail_prepare(uid, &likely_limits, &fault) != NULL)
		return true;
	if (fault.error == E_LIMIT_SANDBOXES && first_order == NULL)
		filling_stopped = true; /* no place is left for one that nobody asked for */
	else
		pool_failed(&fault);
	return false;
}

/* The oldest: its uid is the lowest. */
static struct jail *find_prepared(void)
{
	struct jail *oldest = NULL;
	for (uint32_t i = 0; i < zygote.jails_end; i++) {
		struct jail *jail = zygote.jails[i];
		if (jail != NULL && jail->state == PREPARED && (oldest == NULL || jail->plan.uid < oldest->plan.uid))
			oldest = jail;
	}
	return oldest;
}

void pool_turn(uint64_t now_ms)
{
	while (first_order != NULL && zygote.counts[PREPARED] > 0) {
		struct order *order = take_first();
		jail_claim(find_prepared(), &order->request, order->mount_fds);
		free_order(order);
		fill_at_ms = now_ms + QUIET_MS;
	}
	while (zygote.counts[PREPARING] < order_count)
		if (!prepare_one())
			break;
	bool is_low = zygote.counts[PREPARED] + zygote.counts[PREPARING] < PREPARED_MAX / 2;
	while (!filling_stopped && (is_low || now_ms >= fill_at_ms) && zygote.counts[PREPARING] < PREPARING_AHEAD_MAX &&
	       zygote.counts[PREPARED] + zygote.counts[PREPARING] < PREPARED_MAX)
		if (!prepare_one())
			break;
}

uint64_t pool_due_ms(void)
{
	bool fills = !filling_stopped && uids.count + next_uids.count > 0 && zygote.counts[PREPARING] < PREPARING_AHEAD_MAX &&
		     zygote.counts[PREPARED] + zygote.counts[PREPARING] < PREPARED_MAX;
	return fills ? fill_at_ms : NEVER_MS;
}
