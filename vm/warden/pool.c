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

#include "cgroup-stock.h"
#include "codec.h"
#include "jail-table.h"

/* Filling waits for a quiet moment, so that it does not slow the program that was just started; below half it does not wait. */
enum { PREPARED_MAX = 16, PREPARING_AHEAD_MAX = 2, UIDS_LOW = 32, QUIET_MS = 4 };

struct order {
	struct order *next;
	int fds[CREATE_FDS_MAX];
	struct create_request request; /* last: without the mounts that it does not have */
};

/* One queue for each network mode: what is prepared for one cannot serve the other. */
static struct queue {
	struct order *first, **last;
	uint32_t count;
} queues[NETWORK_MODES] = { { .last = &queues[NETWORK_NONE].first }, { .last = &queues[NETWORK_PROXIED].first } };
static struct uid_block uids, next_uids; /* the broker's blocks: in use, and ordered ahead */
static bool uids_asked, filling_stopped;
static uint64_t fill_at_ms;

/* As the task schema's defaults, until the first order tells what is wanted here. */
static struct sandbox_limits likely_limits = {
	.memory_bytes = 512u << 20, .disk_bytes = 256u << 20, .tmp_bytes = 64u << 20, .disk_inodes = 65536, .pids_max = 256, .open_files_max = 1024,
};

static void free_order(struct order *order)
{
	for (size_t i = 0; i < CREATE_FDS_MAX; i++)
		close_fd(&order->fds[i]);
	queues[order->request.network].count--;
	free(order);
}

static struct order *take_first(struct queue *queue)
{
	struct order *order = queue->first;
	queue->first = order->next;
	if (queue->first == NULL)
		queue->last = &queue->first;
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

int pool_order(const struct create_request *request, const int *fds, struct fault *fault)
{
	struct order *order = malloc(offsetof(struct order, request) + create_request_size(request->mount_count));
	if (order == NULL)
		return fail(fault, E_SETUP_FAILED, ENOMEM, "no memory for another sandbox");
	order->next = NULL;
	memcpy(&order->request, request, create_request_size(request->mount_count));
	bool copied = true;
	for (size_t i = 0; i < CREATE_FDS_MAX; i++) {
		order->fds[i] = i < create_fd_count(request) ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : -1;
		copied = copied && (i >= create_fd_count(request) || order->fds[i] >= 0);
	}
	struct queue *queue = &queues[request->network];
	queue->count++;
	if (!copied) {
		free_order(order);
		return fail(fault, E_SETUP_FAILED, EMFILE, "no descriptor for the mounts of another sandbox");
	}
	*queue->last = order;
	queue->last = &order->next;
	likely_limits = request->limits;
	filling_stopped = false;
	return 0;
}

/* Where it hangs, and in which queue; NULL: nowhere. */
static struct order **find_order(const char *name, struct queue **queue)
{
	for (size_t i = 0; i < NETWORK_MODES; i++)
		for (struct order **at = &queues[i].first; *at != NULL; at = &(*at)->next)
			if (strcmp((*at)->request.name, name) == 0) {
				*queue = &queues[i];
				return at;
			}
	return NULL;
}

bool pool_has_order(const char *name)
{
	struct queue *queue;
	return find_order(name, &queue) != NULL;
}

void pool_cancel(const char *name)
{
	struct queue *queue;
	struct order **at = find_order(name, &queue);
	if (at == NULL)
		return;
	struct order *order = *at;
	*at = order->next;
	if (queue->last == &order->next)
		queue->last = at;
	refuse(order, &(struct fault){ .error = E_SANDBOX_DEAD, .detail = "it was destroyed while it was being created" });
}

void pool_failed(enum network_mode network, const struct fault *fault)
{
	struct queue *queue = &queues[network];
	filling_stopped = true;
	if (queue->first == NULL)
		complain("zygote: a sandbox could not be prepared: %s", fault->detail);
	else if (zygote.counts[network][PREPARING] < queue->count)
		refuse(take_first(queue), fault);
}

static void refuse_all(const struct fault *fault)
{
	filling_stopped = true;
	for (size_t i = 0; i < NETWORK_MODES; i++)
		while (queues[i].first != NULL)
			refuse(take_first(&queues[i]), fault);
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
static bool prepare_one(enum network_mode network)
{
	uint32_t uid;
	struct fault fault = { 0 };
	if (!take_uid(&uid))
		return false;
	if (jail_prepare(uid, network, &likely_limits, &fault) != NULL)
		return true;
	if (fault.error == E_LIMIT_SANDBOXES && queues[network].first == NULL)
		filling_stopped = true; /* no place is left for one that nobody asked for */
	else
		pool_failed(network, &fault);
	return false;
}

static void serve(enum network_mode network, uint64_t now_ms)
{
	struct queue *queue = &queues[network];
	while (queue->first != NULL && zygote.counts[network][PREPARED] > 0) {
		struct order *order = take_first(queue);
		jail_claim(jail_find_prepared(network), &order->request, order->fds);
		free_order(order);
		fill_at_ms = now_ms + QUIET_MS;
	}
	while (zygote.counts[network][PREPARING] < queue->count)
		if (!prepare_one(network))
			break;
}

/* Ahead are only those without a network: most tasks have none, and one with a network waits for two milliseconds more. */
void pool_turn(uint64_t now_ms)
{
	const uint32_t *counts = zygote.counts[NETWORK_NONE];
	for (enum network_mode network = NETWORK_NONE; network < NETWORK_MODES; network++)
		serve(network, now_ms);
	bool is_low = counts[PREPARED] + counts[PREPARING] < PREPARED_MAX / 2;
	while (!filling_stopped && (is_low || now_ms >= fill_at_ms) && counts[PREPARING] < PREPARING_AHEAD_MAX &&
	       counts[PREPARED] + counts[PREPARING] < PREPARED_MAX)
		if (!prepare_one(NETWORK_NONE))
			break;
	cgroup_stock_trim(zygote.cgroups, now_ms);
}

uint64_t pool_due_ms(void)
{
	const uint32_t *counts = zygote.counts[NETWORK_NONE];
	bool fills = !filling_stopped && uids.count + next_uids.count > 0 && counts[PREPARING] < PREPARING_AHEAD_MAX &&
		     counts[PREPARED] + counts[PREPARING] < PREPARED_MAX;
	uint64_t fill_ms = fills ? fill_at_ms : NEVER_MS;
	return cgroup_stock_due_ms() < fill_ms ? cgroup_stock_due_ms() : fill_ms;
}
