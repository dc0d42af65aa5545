/* Fuzz target: both directions of a stream against a model that knows every byte by its offset. The input is a list of steps. */
#include <string.h>

#include "../../vm/warden/stream.h"
#include "fuzz.h"

enum { PIECE_MAX = 20000 };

struct steps {
	const uint8_t *data;
	size_t size, at;
};

static uint32_t step(struct steps *steps, uint32_t limit)
{
	uint32_t value = 0;
	for (size_t index = 0; index < 3 && steps->at < steps->size; index++)
		value = value << 8 | steps->data[steps->at++];
	return limit == 0 ? 0 : value % limit;
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

static uint8_t piece[PIECE_MAX];

static struct msgpack_view make_piece(uint64_t offset, size_t size)
{
	for (size_t index = 0; index < size; index++)
		piece[index] = byte_at(offset + index);
	return (struct msgpack_view){.bytes = piece, .size = size};
}

static void check_ring(const struct ring *ring, const struct ring_budget *budget)
{
	CHECK(ring->start <= ring->end && ring->end - ring->start <= ring->capacity);
	CHECK((ring->capacity & (ring->capacity - 1)) == 0);
	CHECK(budget->used == ring->capacity && budget->used <= budget->max);
}

static void check_bytes(const struct msgpack_view parts[2], uint64_t offset)
{
	for (size_t part = 0; part < 2; part++)
		for (size_t index = 0; index < parts[part].size; index++)
			CHECK(parts[part].bytes[index] == byte_at(offset++));
}

static void produce(struct output_stream *stream, struct ring_budget *budget, size_t size)
{
	size_t room = output_room(stream);
	size = size < room ? size : room;
	struct msgpack_view bytes = make_piece(stream->ring.end, size);
	uint64_t before = stream->ring.end;
	bool done = ring_append(&stream->ring, budget, bytes.bytes, bytes.size);
	CHECK(stream->ring.end == (done ? before + size : before));
}

static void take(struct output_stream *stream, size_t size_max, uint64_t *heard)
{
	struct msgpack_view parts[2];
	uint64_t offset;
	bool fin;
	if (!output_pending(stream))
		return;
	output_take(stream, size_max, parts, &offset, &fin);
	check_bytes(parts, offset);
	uint64_t end = offset + parts[0].size + parts[1].size;
	CHECK(offset <= *heard); /* no gap: what was not acknowledged comes again, what comes is what is next */
	CHECK(!fin || end == stream->ring.end);
	*heard = end > *heard ? end : *heard;
}

static void run_output(struct steps *steps, struct ring_budget *budget)
{
	struct output_stream stream = {.window = step(steps, 60000)};
	uint64_t heard = 0;
	while (steps->at < steps->size) {
		switch (step(steps, 8)) {
		case 0: case 1: produce(&stream, budget, step(steps, PIECE_MAX)); break;
		case 2: case 3: take(&stream, 1 + step(steps, PIECE_MAX - 1), &heard); break;
		case 4: {
			uint64_t acked = stream.ring.start, offset = step(steps, (uint32_t)heard + 2);
			CHECK(output_ack(&stream, budget, offset) == (offset <= heard));
			CHECK(stream.ring.start == (offset <= heard && offset > acked ? offset : acked));
			break;
		}
		case 5: output_rewind(&stream); break;
		case 6: stream.window = step(steps, 60000); break;
		default: stream.ended = stream.ended || step(steps, 16) == 0; break;
		}
		check_ring(&stream.ring, budget);
		CHECK(stream.ring.start <= stream.sent && stream.sent <= stream.sent_most && stream.sent_most <= stream.ring.end);
		CHECK(stream.sent_most == heard);
		CHECK(!stream.ended || output_room(&stream) == 0);
	}
	ring_free(&stream.ring, budget);
}

static void run_input(struct steps *steps, struct ring_budget *budget)
{
	struct input_stream stream = {0};
	while (steps->at < steps->size) {
		uint64_t received = stream.ring.end;
		if (step(steps, 3) > 0) {
			uint64_t back = step(steps, 5) == 0 ? step(steps, 60000) : 0;
			uint64_t offset = back < received ? received - back : received;
			offset += step(steps, 50) == 0;
			size_t size = step(steps, PIECE_MAX);
			bool fin = step(steps, 30) == 0, had_fin = stream.fin;
			enum input_result result = input_accept(&stream, budget, offset, make_piece(offset, size), fin);
			bool fresh = offset + size > received;
			CHECK(result == INPUT_TAKEN || stream.ring.end == received);
			CHECK(offset <= received || result == INPUT_BROKEN);
			CHECK(!(had_fin && fresh) || result == INPUT_BROKEN);
			CHECK(result != INPUT_TAKEN || stream.ring.end == (fresh ? offset + size : received));
		} else {
			struct msgpack_view parts[2];
			size_t size = ring_view(&stream.ring, stream.ring.start, step(steps, PIECE_MAX), parts);
			check_bytes(parts, stream.ring.start);
			ring_drop(&stream.ring, budget, stream.ring.start + size);
		}
		check_ring(&stream.ring, budget);
		CHECK(stream.ring.end - stream.ring.start <= STDIN_BYTES_MAX);
	}
	ring_free(&stream.ring, budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct steps steps = {.data = data, .size = size};
	struct ring_budget budget = {.max = step(&steps, 2) == 0 ? 64 * 1024 : 1 << 22};
	if (step(&steps, 2) == 0)
		run_output(&steps, &budget);
	else
		run_input(&steps, &budget);
	CHECK(budget.used == 0);
	return 0;
}

size_t fuzz_seed(size_t number, uint8_t *buffer, size_t capacity)
{
	if (number >= 8 || capacity < 600)
		return 0;
	for (size_t index = 0; index < 600; index++)
		buffer[index] = (uint8_t)((index * (number * 2 + 37) + number) ^ (index >> 3));
	memset(buffer, 0, 6);
	buffer[2] = (uint8_t)(number & 1);
	buffer[5] = (uint8_t)(number >> 1 & 1);
	return 600;
}
