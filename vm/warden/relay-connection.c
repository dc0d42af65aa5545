/* The two directions of one connection of the relay.
 *
 * Owns: both sockets, and what was read from one and not yet taken by the other.
 * Invariants:
 *   C1 A side is read only while the other takes bytes: what waits is never more
 *      than one piece, and a slow reader stops the writer, not the relay.
 *   C2 An end of file is passed on when all before it was, and for its direction only.
 *   C3 Nothing here waits, and nothing here looks at a byte. */
#include "relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	PIECE_SIZE = 32 * 1024, SMALL_PIECE_SIZE = 4 * 1024,
	/* Beyond these, pieces are small: a child has at most a few MiB waiting, whatever it leaves unread. */
	CHILD_WAITING_MAX = 1024 * 1024, ALL_WAITING_MAX = 64 * 1024 * 1024,
};

static uint64_t waiting_bytes;

static void let_go(struct relay_child *child, struct relay_flow *flow)
{
	if (flow->waiting == NULL)
		return;
	child->waiting_bytes -= flow->end;
	waiting_bytes -= flow->end;
	free(flow->waiting);
	flow->waiting = NULL;
	flow->start = flow->end = 0;
}

static bool keep(struct relay_child *child, struct relay_flow *flow, const uint8_t *bytes, size_t size)
{
	flow->waiting = malloc(size);
	if (flow->waiting == NULL)
		return false;
	memcpy(flow->waiting, bytes, size);
	flow->start = 0;
	flow->end = (uint32_t)size;
	child->waiting_bytes += size;
	waiting_bytes += size;
	return true;
}

/* What was sent; 0 when it takes nothing now; -1 when it will never take more. */
static ssize_t send_some(struct relay_side *to, const uint8_t *bytes, size_t size)
{
	ssize_t sent = send(to->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent >= 0)
		return sent;
	if (errno == EINTR)
		return 0;
	to->writable = false;
	return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
}

/* The receiver is gone, but may have said something before: what the sender still sends is read and dropped, and the other direction goes on. */
static void drop_rest(struct relay_connection *connection, struct relay_flow *flow)
{
	let_go(connection->child, flow);
	flow->closed = true;
}

static void close_flow(struct relay_flow *flow, const struct relay_side *to)
{
	/* ENOTCONN: it has closed already. */
	(void)shutdown(to->fd, SHUT_WR);
	flow->closed = true;
}

/* Returns false when the whole connection is broken. */
static bool read_piece(struct relay_connection *connection, enum relay_end end)
{
	static uint8_t piece[PIECE_SIZE];
	struct relay_child *child = connection->child;
	struct relay_side *from = &connection->sides[end], *to = &connection->sides[END_COUNT - 1 - end];
	struct relay_flow *flow = &connection->flows[end];
	bool crowded = child->waiting_bytes > CHILD_WAITING_MAX || waiting_bytes > ALL_WAITING_MAX;
	ssize_t size = recv(from->fd, piece, crowded ? SMALL_PIECE_SIZE : PIECE_SIZE, MSG_DONTWAIT);
	if (size < 0 && errno == EINTR)
		return true;
	if (size < 0 && errno == EAGAIN) {
		from->readable = false;
		return true;
	}
	/* An endpoint that closes with something unread shows as a reset of its unix socket: what it said is complete. */
	if (size == 0 || (size < 0 && end == END_ENDPOINT)) {
		flow->ended = true;
		return true;
	}
	if (size < 0)
		return false;
	if (flow->closed)
		return true;
	ssize_t sent = send_some(to, piece, (size_t)size);
	if (sent < 0)
		drop_rest(connection, flow);
	else if (sent < size && !keep(child, flow, piece + sent, (size_t)(size - sent)))
		return false;
	return true;
}

static bool step_flow(struct relay_connection *connection, enum relay_end end)
{
	struct relay_side *from = &connection->sides[end], *to = &connection->sides[END_COUNT - 1 - end];
	struct relay_flow *flow = &connection->flows[end];
	if (flow->waiting != NULL && to->writable) {
		ssize_t sent = send_some(to, flow->waiting + flow->start, flow->end - flow->start);
		if (sent < 0)
			drop_rest(connection, flow);
		else
			flow->start += (uint32_t)sent;
		if (flow->start == flow->end)
			let_go(connection->child, flow);
	} else if (flow->waiting == NULL && !flow->ended && from->readable && (to->writable || flow->closed)) {
		if (!read_piece(connection, end))
			return false;
	}
	if (flow->ended && flow->waiting == NULL && !flow->closed)
		close_flow(flow, to);
	return true;
}

static bool can_step(const struct relay_connection *connection, enum relay_end end)
{
	const struct relay_side *from = &connection->sides[end], *to = &connection->sides[END_COUNT - 1 - end];
	const struct relay_flow *flow = &connection->flows[end];
	if (flow->waiting != NULL)
		return to->writable;
	return !flow->ended && from->readable && (to->writable || flow->closed);
}

enum relay_step relay_connection_step(struct relay_connection *connection)
{
	if (!step_flow(connection, END_CHILD) || !step_flow(connection, END_ENDPOINT))
		return STEP_BROKEN;
	if (connection->flows[END_CHILD].closed && connection->flows[END_ENDPOINT].closed)
		return STEP_OVER;
	return can_step(connection, END_CHILD) || can_step(connection, END_ENDPOINT) ? STEP_AGAIN : STEP_IDLE;
}

void relay_connection_close(struct relay_connection *connection, bool reset)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	for (size_t i = 0; i < END_COUNT; i++) {
		let_go(connection->child, &connection->flows[i]);
		if (reset && i == END_CHILD)
			/* Without it, a socket that still has bytes to send would outlive its child's network namespace, and hold it. */
			(void)setsockopt(connection->sides[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close_fd(&connection->sides[i].fd);
	}
}
