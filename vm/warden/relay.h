/* The relay: one process beside the codec that carries bytes between the
 * children with a network and the endpoints of the person. */
#ifndef COHORT_RELAY_H
#define COHORT_RELAY_H

#include "base.h"

/* 127.0.0.1, in each network namespace that leads somewhere. */
enum { RELAY_PORT = 3128 };

/* relay-process.c: drops everything and serves until the zygote's end of the socket closes. */
_Noreturn void relay_process_main(int zygote_fd, uint32_t uid);

/* relay.c */
_Noreturn void relay_main(int zygote_fd);

/* relay-filter.c: the few calls that it needs; every other is EPERM. -1 with errno. */
int relay_filter_apply(void);

enum relay_bound {
	RELAY_CHILDREN_MAX = SANDBOXES_MAX,
	RELAY_CHILD_CONNECTIONS_MAX = 256,
	RELAY_CONNECTIONS_MAX = 16384,
};

enum relay_kind { RELAY_OPEN = 1, RELAY_CLOSE };

/* From the zygote. OPEN carries two descriptors: the socket that listens in the child's network namespace, and the directory of its
 * endpoint. CLOSE of a uid that is not known is answered like any other. */
struct relay_request {
	uint32_t kind, uid;
	char endpoint[ENDPOINT_SIZE]; /* one component, below the directory */
};

struct relay_reply {
	uint32_t kind, uid;
	int32_t sys_errno;        /* of an OPEN that failed */
	uint32_t reserved;
};

struct relay_child;

struct relay_side {
	int fd;
	bool readable, writable;          /* by epoll's edges; cleared by EAGAIN */
};

/* One direction of a connection. */
struct relay_flow {
	uint8_t *waiting;                 /* read and not yet taken by the other side; NULL: nothing */
	uint32_t start, end;
	bool ended;                       /* nothing more will be read */
	bool closed;                      /* and the other side knows, or takes no more */
};

enum relay_end { END_CHILD, END_ENDPOINT, END_COUNT };

struct relay_connection {
	struct relay_child *child;        /* NULL: this place is free */
	struct relay_side sides[END_COUNT];
	struct relay_flow flows[END_COUNT]; /* by the side that is read */
	uint64_t give_up_ms;              /* while it waits for its endpoint */
	bool connected, queued;
	struct relay_connection *next;    /* in the child's queue, or among the free */
	struct relay_connection *before, *after; /* among all of the child's */
};

struct relay_queue {
	struct relay_connection *first, *last;
};

struct relay_child {
	uint32_t uid;                     /* 0: this place is free */
	int listen_fd, directory_fd;
	char endpoint[ENDPOINT_SIZE];     /* one component, below the directory */
	uint32_t connections;
	uint64_t waiting_bytes;
	uint64_t starts_used_until_us;    /* the bucket of connection starts */
	bool acceptable;                  /* someone may stand in the listening socket's queue */
	bool stalled;                     /* its endpoint takes no connection just now */
	bool queued;
	struct relay_queue ready, connecting;
	struct relay_connection *all;
	struct relay_child *next;         /* in the run queue */
};

/* relay-connection.c: both ends of one connection. */
enum relay_step {
	STEP_IDLE,                        /* an edge will say when there is more to do */
	STEP_AGAIN,
	STEP_OVER,                        /* both directions are at their end */
	STEP_BROKEN,                      /* both sides shall see a reset */
};

/* Moves at most one piece each way. */
enum relay_step relay_connection_step(struct relay_connection *connection);
/* Closes both sides; with `reset` so that neither mistakes it for an orderly end, and no socket lingers. */
void relay_connection_close(struct relay_connection *connection, bool reset);

/* relay-child.c */
extern uint32_t relay_children_max;
void relay_tables_open(void);
enum relay_permit { PERMIT_NOW, PERMIT_LATER, PERMIT_AFTER_A_CLOSE };
enum relay_permit relay_child_may_accept(struct relay_child *child, uint64_t now_us);
/* Only with PERMIT_NOW. NULL with errno. */
struct relay_connection *relay_child_accept(struct relay_child *child, uint64_t now_us);
/* -1 with errno; EAGAIN: its backlog is full. */
int relay_endpoint_connect(struct relay_connection *connection);
/* Closes it and frees its place. It must stand in no queue. */
void relay_connection_end(struct relay_connection *connection, bool reset);

#endif
