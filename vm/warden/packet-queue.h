/* Packets on their way to one peer over a non-blocking SEQPACKET socket.
 *
 * Owns the packets that wait and their descriptors; does not own the socket.
 * P1  Packets leave in the order in which they were given.
 * P2  Descriptors that were given are closed once: after they were sent, or when they cannot be.
 * P3  At most count_max packets wait. */
#ifndef COHORT_PACKET_QUEUE_H
#define COHORT_PACKET_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet;

struct packet_queue {
	int socket_fd; /* -1: not connected yet, everything waits */
	struct packet *first, *last;
	uint32_t count, count_max;
};

/* Takes the descriptors in any case. 0: sent or waiting; -1 with errno: ENOBUFS when too many wait, else the peer is gone. */
int packet_send(struct packet_queue *queue, const void *data, size_t size, int *fds, size_t fd_count);
/* Sends what waits, as far as the socket takes it. -1 with errno: the peer is gone. */
int packet_flush(struct packet_queue *queue);
void packet_discard_all(struct packet_queue *queue);

#endif
