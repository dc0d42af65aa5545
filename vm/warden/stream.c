/* Ring buffers and the two directions of a stream; see stream.h. Pure but for malloc. */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ring_view(const struct ring *ring, uint64_t offset, size_t size_max, struct msgpack_view parts[2])
{
	uint64_t stored = ring->end - offset;
	size_t size = stored < size_max ? (size_t)stored : size_max;
	parts[0] = parts[1] = (struct msgpack_view){0};
	if (size == 0)
		return 0;
	size_t at = (size_t)offset & (ring->capacity - 1);
	size_t first = min_size(size, ring->capacity - at);
	parts[0] = (struct msgpack_view){.bytes = ring->data + at, .size = first};
	parts[1] = (struct msgpack_view){.bytes = ring->data, .size = size - first};
	return size;
}

static bool grow(struct ring *ring, struct ring_budget *budget, size_t needed)
{
	size_t capacity = ring->capacity > 0 ? ring->capacity : RING_BYTES_MIN;
	while (capacity < needed)
		capacity *= 2;
	if (capacity - ring->capacity > budget->max - budget->used)
		return false;
	uint8_t *data = malloc(capacity);
	if (data == NULL)
		return false;
	struct msgpack_view parts[2];
	ring_view(ring, ring->start, ring->capacity, parts);
	size_t at = (size_t)ring->start & (capacity - 1);
	for (size_t part = 0; part < 2; part++) {
		size_t first = min_size(parts[part].size, capacity - at);
		if (first > 0)
			memcpy(data + at, parts[part].bytes, first);
		if (parts[part].size > first)
			memcpy(data, parts[part].bytes + first, parts[part].size - first);
		at = (at + parts[part].size) & (capacity - 1);
	}
	free(ring->data);
	budget->used += capacity - ring->capacity;
	ring->data = data;
	ring->capacity = capacity;
	return true;
}

bool ring_reserve(struct ring *ring, struct ring_budget *budget, size_t size)
{
	size_t needed = (size_t)(ring->end - ring->start) + size;
	return needed <= ring->capacity || grow(ring, budget, needed);
}

void ring_space(const struct ring *ring, size_t size, struct iovec parts[2])
{
	size_t at = (size_t)ring->end & (ring->capacity - 1);
	size_t first = min_size(size, ring->capacity - at);
	parts[0] = (struct iovec){.iov_base = ring->data + at, .iov_len = first};
	parts[1] = (struct iovec){.iov_base = ring->data, .iov_len = size - first};
}

void ring_produce(struct ring *ring, size_t size)
{
	ring->end += size;
}

bool ring_append(struct ring *ring, struct ring_budget *budget, const void *bytes, size_t size)
{
	if (size == 0)
		return true;
	if (!ring_reserve(ring, budget, size))
		return false;
	struct iovec parts[2];
	ring_space(ring, size, parts);
	memcpy(parts[0].iov_base, bytes, parts[0].iov_len);
	memcpy(parts[1].iov_base, (const uint8_t *)bytes + parts[0].iov_len, parts[1].iov_len);
	ring_produce(ring, size);
	return true;
}

void ring_free(struct ring *ring, struct ring_budget *budget)
{
	free(ring->data);
	budget->used -= ring->capacity;
	ring->data = NULL;
	ring->capacity = 0;
}

void ring_drop(struct ring *ring, struct ring_budget *budget, uint64_t offset)
{
	ring->start = offset;
	if (ring->start == ring->end && ring->capacity > 0)
		ring_free(ring, budget);
}

size_t output_room(const struct output_stream *stream)
{
	uint64_t unacknowledged = stream->ring.end - stream->ring.start;
	if (stream->ended || unacknowledged >= stream->window)
		return 0;
	return (size_t)(stream->window - unacknowledged);
}

bool output_pending(const struct output_stream *stream)
{
	return stream->sent < stream->ring.end || (stream->ended && !stream->fin_sent);
}

void output_take(struct output_stream *stream, size_t size_max, struct msgpack_view parts[2], uint64_t *offset, bool *fin)
{
	*offset = stream->sent;
	stream->sent += ring_view(&stream->ring, stream->sent, size_max, parts);
	if (stream->sent > stream->sent_most)
		stream->sent_most = stream->sent;
	*fin = stream->ended && stream->sent == stream->ring.end;
	if (*fin)
		stream->fin_sent = stream->fin_ever_sent = true;
}

bool output_ack(struct output_stream *stream, struct ring_budget *budget, uint64_t offset)
{
	if (offset > stream->sent_most)
		return false;
#ifndef COHORT_FUZZ_CANARY /* planted for the fuzzer: left out, an ACK after a reconnect leaves sent behind acked */
	/* What an earlier connection delivered need not be sent again. */
	if (offset > stream->sent)
		stream->sent = offset;
#endif
	if (offset > stream->ring.start)
		ring_drop(&stream->ring, budget, offset);
	if (stream->fin_ever_sent && offset == stream->ring.end)
		stream->fin_acked = stream->fin_sent = true;
	return true;
}

void output_rewind(struct output_stream *stream)
{
	stream->sent = stream->ring.start;
	stream->fin_sent = stream->fin_acked;
}

bool output_delivered(const struct output_stream *stream)
{
	return stream->absent || (stream->ended && stream->fin_sent && stream->sent == stream->ring.end);
}

enum input_result input_accept(struct input_stream *stream, struct ring_budget *budget, uint64_t offset, struct msgpack_view bytes, bool fin)
{
	uint64_t received = stream->ring.end;
	if (stream->closed)
		return INPUT_TAKEN;
	if (offset > received)
		return INPUT_BROKEN;
	uint64_t known = received - offset;
	size_t fresh = known < bytes.size ? bytes.size - (size_t)known : 0;
	if (stream->fin && fresh > 0)
		return INPUT_BROKEN;
	if (fin && offset + bytes.size < received)
		return INPUT_BROKEN;
	if (fresh > STDIN_BYTES_MAX - (size_t)(received - stream->ring.start))
		return INPUT_BROKEN;
	if (fresh > 0 && !ring_append(&stream->ring, budget, bytes.bytes + (bytes.size - fresh), fresh))
		return INPUT_FULL;
	stream->fin = stream->fin || fin;
	return INPUT_TAKEN;
}
