/* What waits to be written to the supervisor: one buffer, whole frames, in order.
 *
 * Grows to LINK_OUT_MAX; a supervisor that lets more wait does not read, and is let go. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "codec-state.h"

enum { OUT_BYTES_MIN = 64 * 1024, SENDS_PER_ROUND = 16 };

/* Moves what waits to the front, into a larger buffer where that is not enough. */
static bool make_room(struct link *link, size_t size)
{
	size_t waiting = link->out_end - link->out_start;
	size_t capacity = link->out_capacity > 0 ? link->out_capacity : OUT_BYTES_MIN;
	while (capacity - waiting < size)
		capacity *= 2;
	uint8_t *out = link->out;
	if (capacity != link->out_capacity)
		out = capacity <= LINK_OUT_MAX ? malloc(capacity) : NULL;
	if (out == NULL)
		return false;
	if (waiting > 0)
		memmove(out, link->out + link->out_start, waiting);
	if (out != link->out)
		free(link->out);
	link->out = out;
	link->out_capacity = capacity;
	link->out_start = 0;
	link->out_end = waiting;
	return true;
}

uint8_t *supervisor_space(struct codec *codec, size_t size)
{
	struct link *link = codec->supervisor;
	if (link == NULL)
		return NULL;
	if (link->out_capacity - link->out_end < size && !make_room(link, size)) {
		link_close(codec, link, "the supervisor does not read its answers");
		return NULL;
	}
	return link->out + link->out_end;
}

void supervisor_commit(struct codec *codec, size_t size)
{
	/* Each caller reserves what its largest frame takes, so a frame that did not fit is a bug of this program. */
	if (size == 0)
		die("a frame does not fit into the space that was reserved for it");
	codec->supervisor->out_end += size;
}

void supervisor_flush(struct codec *codec)
{
	for (size_t round = 0; round < SENDS_PER_ROUND && codec->supervisor != NULL; round++) {
		output_fill(codec);
		struct link *link = codec->supervisor;
		if (link == NULL)
			return;
		size_t waiting = link->out_end - link->out_start;
		if (waiting == 0) {
			link->out_start = link->out_end = 0;
			codec_watch(codec, &link->watch, EPOLLIN);
			return;
		}
		ssize_t sent = send(link->watch.fd, link->out + link->out_start, waiting, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			link_fail(codec, link, errno);
			return;
		}
		if (sent < 0)
			break;
		link->out_start += (size_t)sent;
	}
	if (codec->supervisor != NULL)
		codec_watch(codec, &codec->supervisor->watch, EPOLLIN | EPOLLOUT);
}
