/* What the relay decides for one child: whether another connection may begin,
 * and how it reaches the child's endpoint.
 *
 * Owns: the table of connections, and which are free. Invariants:
 *   H1 No child has more connections than RELAY_CHILD_CONNECTIONS_MAX, nor more
 *      than an eighth of what is free and one: whatever others hold, the next
 *      child still gets some.
 *   H2 No child begins more than STARTS_PER_S connections a second for long: each
 *      costs its endpoint's process something, which serves all children. */
#include "relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	STARTS_PER_S = 500, STARTS_BURST = 256, START_US = 1000000 / STARTS_PER_S,
	ENDPOINT_MS_MAX = 10000,
	/* The socket, stdio, epoll, and the descriptors that arrive with a child. */
	OTHER_FILES = 32, FILES_PER_CHILD = 2,
};

static struct relay_connection *connections, *free_connections;
static uint32_t free_count;

uint32_t relay_children_max;

void relay_tables_open(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < 128)
		die("relay: too few open files are allowed");
	uint64_t left = files.rlim_cur - OTHER_FILES;
	/* A quarter for children, the rest for connections, which take two each. */
	relay_children_max = left / 4 / FILES_PER_CHILD < RELAY_CHILDREN_MAX ? (uint32_t)(left / 4 / FILES_PER_CHILD) : RELAY_CHILDREN_MAX;
	left -= (uint64_t)relay_children_max * FILES_PER_CHILD;
	free_count = left / 2 < RELAY_CONNECTIONS_MAX ? (uint32_t)(left / 2) : RELAY_CONNECTIONS_MAX;
	connections = calloc(free_count, sizeof(*connections));
	if (connections == NULL)
		die("relay: no memory for its connections");
	for (uint32_t i = 0; i < free_count; i++) {
		connections[i].next = free_connections;
		free_connections = &connections[i];
	}
}

enum relay_permit relay_child_may_accept(struct relay_child *child, uint64_t now_us)
{
	uint32_t share = free_count / 8 + 1;
	if (child->connections >= RELAY_CHILD_CONNECTIONS_MAX)
		return PERMIT_AFTER_A_CLOSE;
	if (free_count == 0 || child->connections >= share || child->starts_used_until_us > now_us + (uint64_t)STARTS_BURST * START_US)
		return PERMIT_LATER;
	return PERMIT_NOW;
}

struct relay_connection *relay_child_accept(struct relay_child *child, uint64_t now_us)
{
	int fd = accept4(child->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct relay_connection *connection = free_connections;
	free_connections = connection->next;
	free_count--;
	*connection = (struct relay_connection){
		.child = child,
		.sides = { [END_CHILD] = { .fd = fd }, [END_ENDPOINT] = { .fd = -1 } },
		.give_up_ms = now_us / 1000 + ENDPOINT_MS_MAX,
		.after = child->all,
	};
	if (child->all != NULL)
		child->all->before = connection;
	child->all = connection;
	child->connections++;
	child->starts_used_until_us = (child->starts_used_until_us > now_us ? child->starts_used_until_us : now_us) + START_US;
	return connection;
}

int relay_endpoint_connect(struct relay_connection *connection)
{
	const struct relay_child *child = connection->child;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	memcpy(address.sun_path, child->endpoint, sizeof(child->endpoint));
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* By its name each time: a supervisor that was started again has made the socket anew. */
	if (fd < 0 || fchdir(child->directory_fd) != 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	connection->sides[END_ENDPOINT].fd = steal_fd(&fd);
	connection->connected = true;
	return 0;
}

void relay_connection_end(struct relay_connection *connection, bool reset)
{
	struct relay_child *child = connection->child;
	relay_connection_close(connection, reset);
	if (connection->before != NULL)
		connection->before->after = connection->after;
	else
		child->all = connection->after;
	if (connection->after != NULL)
		connection->after->before = connection->before;
	child->connections--;
	connection->child = NULL;
	connection->next = free_connections;
	free_connections = connection;
	free_count++;
}
