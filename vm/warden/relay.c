/* The relay's loop: who may go next.
 *
 * Owns: the children that have a network, their listening sockets and endpoint
 * directories, the queue of children with something to do. Invariants:
 *   R1 Children take turns, and a turn is one accepted connection and one piece of
 *      one connection: a child with 256 busy connections gets what one with a single
 *      one gets.
 *   R2 Nothing waits but epoll; what cannot go on now is in no queue, and costs nothing.
 *   R3 Parses nothing: neither what children say nor what endpoints answer.
 *   R4 A child that was closed has no socket left here when that is answered. */
#include "relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS_MAX = 128, TURNS_PER_LOOK = 64, RETRY_MS = 20 };

static struct {
	int zygote_fd, epoll_fd;
	struct relay_child children[RELAY_CHILDREN_MAX];
	uint32_t children_end;
	struct relay_child *first, *last;       /* whose turn it is */
	bool look_again;                        /* someone waits for time to pass: for a start, a place, or a full backlog */
} relay;

/* Where epoll's pointers lead: the low bits say to what of it. */
enum { TO_CHILD_SIDE, TO_ENDPOINT_SIDE, TO_LISTENER, TO_KIND_BITS = 3 };

static void watch(int fd, void *at, unsigned int kind)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLET | (kind == TO_LISTENER ? 0u : EPOLLOUT | EPOLLRDHUP),
		.data.u64 = (uint64_t)(uintptr_t)at | kind,
	};
	if (epoll_ctl(relay.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die_errno("relay: cannot watch a socket");
}

static void queue_child(struct relay_child *child)
{
	if (child->queued || child->uid == 0)
		return;
	child->queued = true;
	child->next = NULL;
	*(relay.first == NULL ? &relay.first : &relay.last->next) = child;
	relay.last = child;
}

static void push(struct relay_queue *queue, struct relay_connection *connection)
{
	if (connection->queued)
		return;
	connection->queued = true;
	connection->next = NULL;
	*(queue->first == NULL ? &queue->first : &queue->last->next) = connection;
	queue->last = connection;
}

static struct relay_connection *pop(struct relay_queue *queue)
{
	struct relay_connection *connection = queue->first;
	if (connection != NULL) {
		queue->first = connection->next;
		connection->queued = false;
	}
	return connection;
}

/* Whoever waits for a place of this child's can have it. */
static void end_connection(struct relay_connection *connection, bool reset)
{
	struct relay_child *child = connection->child;
	relay_connection_end(connection, reset);
	queue_child(child);
}

/* The first that waits for the child's endpoint; while that takes none, the others need not try. */
static void connect_first(struct relay_child *child, uint64_t now_us)
{
	struct relay_connection *connection = child->connecting.first;
	if (connection == NULL || child->stalled)
		return;
	bool connected = relay_endpoint_connect(connection) == 0;
	if (!connected && (errno == EAGAIN || errno == EMFILE || errno == ENFILE || errno == ENOMEM) && now_us / 1000 < connection->give_up_ms) {
		child->stalled = true;
		relay.look_again = true;
		return;
	}
	pop(&child->connecting);
	if (connected) {
		watch(connection->sides[END_ENDPOINT].fd, connection, TO_ENDPOINT_SIDE);
		watch(connection->sides[END_CHILD].fd, connection, TO_CHILD_SIDE);
	} else {
		end_connection(connection, true);
	}
	queue_child(child);
}

static void accept_one(struct relay_child *child, uint64_t now_us)
{
	if (!child->acceptable)
		return;
	switch (relay_child_may_accept(child, now_us)) {
	case PERMIT_AFTER_A_CLOSE:
		return;
	case PERMIT_LATER:
		relay.look_again = true;
		return;
	case PERMIT_NOW:
		break;
	}
	struct relay_connection *connection = relay_child_accept(child, now_us);
	if (connection != NULL) {
		push(&child->connecting, connection);
	} else if (errno == EAGAIN) {
		child->acceptable = false;
		return;
	} else if (errno != ECONNABORTED && errno != EINTR) {
		relay.look_again = true;
		return;
	}
	queue_child(child);
}

static void take_turn(struct relay_child *child, uint64_t now_us)
{
	accept_one(child, now_us);
	connect_first(child, now_us);
	struct relay_connection *connection = pop(&child->ready);
	if (connection == NULL)
		return;
	switch (relay_connection_step(connection)) {
	case STEP_IDLE:
		break;
	case STEP_AGAIN:
		push(&child->ready, connection);
		break;
	case STEP_OVER:
		end_connection(connection, false);
		break;
	case STEP_BROKEN:
		end_connection(connection, true);
		break;
	}
	if (child->ready.first != NULL)
		queue_child(child);
}

/* Time has passed: who waited for it may try again. */
static void look_at_waiting(void)
{
	relay.look_again = false;
	for (uint32_t i = 0; i < relay.children_end; i++) {
		struct relay_child *child = &relay.children[i];
		child->stalled = false;
		if (child->acceptable || child->connecting.first != NULL)
			queue_child(child);
	}
}

static struct relay_child *child_of(uint32_t uid)
{
	for (uint32_t i = 0; i < relay.children_end; i++)
		if (relay.children[i].uid == uid)
			return &relay.children[i];
	return NULL;
}

static uint32_t open_child(const struct relay_request *request, int fds[2])
{
	struct relay_child *child = child_of(0);
	if (child == NULL && relay.children_end < relay_children_max)
		child = &relay.children[relay.children_end++];
	if (child == NULL) {
		close(fds[0]);
		close(fds[1]);
		return ENFILE;
	}
	/* Whoever had this place before may still stand in the queue with it. */
	*child = (struct relay_child){
		.uid = request->uid, .listen_fd = fds[0], .directory_fd = fds[1], .queued = child->queued, .next = child->next,
	};
	memcpy(child->endpoint, request->endpoint, sizeof(child->endpoint));
	watch(child->listen_fd, child, TO_LISTENER);
	return 0;
}

static void close_child(struct relay_child *child)
{
	while (child->all != NULL)
		relay_connection_end(child->all, true);
	close_fd(&child->listen_fd);
	close_fd(&child->directory_fd);
	child->ready = child->connecting = (struct relay_queue){ 0 };
	child->acceptable = false;
	/* Its turn, if it was to have one, finds nothing to do. */
	child->uid = 0;
}

static void on_zygote(void)
{
	struct relay_request request;
	int fds[2];
	size_t fd_count = 0;
	ssize_t size = receive_packet(relay.zygote_fd, &request, sizeof(request), fds, ARRAY_LENGTH(fds), &fd_count);
	if (size == 0)
		_exit(EXIT_SUCCESS);
	if (size != (ssize_t)sizeof(request) || fd_count != (request.kind == RELAY_OPEN ? 2u : 0u))
		die("relay: a request of %zd bytes with %zu descriptors", size, fd_count);
	request.endpoint[ENDPOINT_SIZE - 1] = '\0';
	struct relay_reply reply = { .kind = request.kind, .uid = request.uid };
	struct relay_child *child = child_of(request.uid);
	if (request.kind == RELAY_OPEN)
		reply.sys_errno = (int32_t)open_child(&request, fds);
	else if (child != NULL)
		close_child(child);
	/* The zygote never waits for us, so this ends. */
	if (send_packet(relay.zygote_fd, &reply, sizeof(reply), NULL, 0) != 0)
		die_errno("relay: the zygote takes nothing");
}

/* Only notes what happened: nothing is closed here, so no later event of the same look can lead to what is gone. */
static void note(const struct epoll_event *event)
{
	void *at = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)TO_KIND_BITS);
	unsigned int kind = (unsigned int)(event->data.u64 & TO_KIND_BITS);
	if (kind == TO_LISTENER) {
		struct relay_child *child = at;
		child->acceptable = true;
		queue_child(child);
		return;
	}
	struct relay_connection *connection = at;
	struct relay_side *side = &connection->sides[kind == TO_CHILD_SIDE ? END_CHILD : END_ENDPOINT];
	side->readable = side->readable || (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	side->writable = side->writable || (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
	push(&connection->child->ready, connection);
	queue_child(connection->child);
}

void relay_main(int zygote_fd)
{
	struct epoll_event events[EVENTS_MAX], of_zygote = { .events = EPOLLIN };
	uint64_t looked_us = 0;
	relay.zygote_fd = zygote_fd;
	relay.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	relay_tables_open();
	if (relay.epoll_fd < 0 || epoll_ctl(relay.epoll_fd, EPOLL_CTL_ADD, zygote_fd, &of_zygote) != 0)
		die_errno("relay: cannot start");
	if (relay_filter_apply() != 0)
		die_errno("relay: cannot load its system call filter");
	for (;;) {
		int timeout_ms = relay.first != NULL ? 0 : relay.look_again ? RETRY_MS : -1;
		int count = epoll_wait(relay.epoll_fd, events, EVENTS_MAX, timeout_ms);
		if (count < 0 && errno != EINTR)
			die_errno("relay: cannot wait");
		bool asked = false;
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == 0)
				asked = true;
			else
				note(&events[i]);
		}
		if (asked)
			on_zygote();
		uint64_t now_us = boot_us();
		if (relay.look_again && now_us - looked_us >= RETRY_MS * 1000) {
			looked_us = now_us;
			look_at_waiting();
		}
		for (int turn = 0; turn < TURNS_PER_LOOK && relay.first != NULL; turn++) {
			struct relay_child *child = relay.first;
			relay.first = child->next;
			child->queued = false;
			take_turn(child, now_us);
		}
	}
}
