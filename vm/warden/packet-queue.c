/* Queue of packets with descriptors; see packet-queue.h. */
#include "packet-queue.h"

#include <stdlib.h>
#include <string.h>

#include "base.h"

enum { QUEUED_FDS_MAX = 5 };

struct packet {
	struct packet *next;
	size_t size, fd_count;
	int fds[QUEUED_FDS_MAX];
	uint8_t data[];
};

static void close_all(int *fds, size_t fd_count)
{
	for (size_t index = 0; index < fd_count; index++)
		close_fd(&fds[index]);
}

static int enqueue(struct packet_queue *queue, const void *data, size_t size, int *fds, size_t fd_count)
{
	struct packet *packet = NULL;
	if (queue->count < queue->count_max && fd_count <= QUEUED_FDS_MAX)
		packet = malloc(sizeof *packet + size);
	if (packet == NULL) {
		close_all(fds, fd_count);
		errno = ENOBUFS;
		return -1;
	}
	*packet = (struct packet){.size = size, .fd_count = fd_count};
	memcpy(packet->data, data, size);
	for (size_t index = 0; index < fd_count; index++)
		packet->fds[index] = fds[index];
	if (queue->last == NULL)
		queue->first = packet;
	else
		queue->last->next = packet;
	queue->last = packet;
	queue->count++;
	return 0;
}

int packet_send(struct packet_queue *queue, const void *data, size_t size, int *fds, size_t fd_count)
{
	if (queue->socket_fd < 0 || queue->first != NULL)
		return enqueue(queue, data, size, fds, fd_count);
	if (send_packet(queue->socket_fd, data, size, fds, fd_count) == 0) {
		close_all(fds, fd_count);
		return 0;
	}
	if (errno == EAGAIN)
		return enqueue(queue, data, size, fds, fd_count);
	close_all(fds, fd_count);
	return -1;
}

static void discard_first(struct packet_queue *queue)
{
	struct packet *packet = queue->first;
	queue->first = packet->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->count--;
	close_all(packet->fds, packet->fd_count);
	free(packet);
}

int packet_flush(struct packet_queue *queue)
{
	while (queue->first != NULL && queue->socket_fd >= 0) {
		struct packet *packet = queue->first;
		if (send_packet(queue->socket_fd, packet->data, packet->size, packet->fds, packet->fd_count) < 0)
			return errno == EAGAIN ? 0 : -1;
		discard_first(queue);
	}
	return 0;
}

void packet_discard_all(struct packet_queue *queue)
{
	while (queue->first != NULL)
		discard_first(queue);
}
