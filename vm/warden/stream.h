/* Bytes of one direction of one exec, addressed by their offset from the start of the stream. Pure but for malloc.
 *
 * ring           holds bytes [start, end); grows in powers of two, and is freed whenever it is empty.
 * output_stream  produced = ring.end, acked = ring.start; nothing is let go before it was acknowledged.
 * input_stream   received = ring.end, written to the process = ring.start.
 *
 * Invariants
 * S1  start <= end, end - start <= capacity, capacity is 0 or a power of two.
 * S2  output: acked <= sent <= produced, sent <= sent_most <= produced.
 * S3  output: produced - acked grows only up to the window (a window made smaller later takes nothing away).
 * S4  input: end - start <= STDIN_BYTES_MAX.
 * S5  the sum of all capacities is budget.used <= budget.max. */
#ifndef COHORT_STREAM_H
#define COHORT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "msgpack.h"

enum {
	STDIN_BYTES_MAX = 1 << 20,       /* received and not yet written to the process; see docs/design/wire.md */
	WINDOW_BYTES_MAX = 8 << 20,
	RING_BYTES_MIN = 4096,
};

struct ring_budget {
	size_t used, max;
};

struct ring {
	uint8_t *data;
	size_t capacity;
	uint64_t start, end;
};

/* Makes room for size more bytes. False, with nothing changed: the budget or the machine has no memory. */
bool ring_reserve(struct ring *ring, struct ring_budget *budget, size_t size);
/* The reserved room as up to two parts, of size bytes together; ring_produce says how many were filled. */
void ring_space(const struct ring *ring, size_t size, struct iovec parts[2]);
void ring_produce(struct ring *ring, size_t size);
/* All three at once. */
bool ring_append(struct ring *ring, struct ring_budget *budget, const void *bytes, size_t size);
/* The bytes at offset, at most size_max, in up to two parts. start <= offset <= end. */
size_t ring_view(const struct ring *ring, uint64_t offset, size_t size_max, struct msgpack_view parts[2]);
/* Lets go of what is before offset. start <= offset <= end. */
void ring_drop(struct ring *ring, struct ring_budget *budget, uint64_t offset);
void ring_free(struct ring *ring, struct ring_budget *budget);

struct output_stream {
	struct ring ring;
	uint64_t window;
	uint64_t sent;      /* on this connection */
	uint64_t sent_most; /* on any connection: what an ACK may name */
	bool absent;        /* no such stream: a pty and a collect have no stderr */
	bool ended;         /* no byte will come any more */
	bool fin_sent;      /* on this connection */
	bool fin_ever_sent;
	bool fin_acked;
};

/* How much may be read from the process now. */
size_t output_room(const struct output_stream *stream);
/* Is there a DATA to send: bytes, or the fin? */
bool output_pending(const struct output_stream *stream);
/* The next DATA, its fields name and exec_id and stream left alone; it counts as sent. */
void output_take(struct output_stream *stream, size_t size_max, struct msgpack_view parts[2], uint64_t *offset, bool *fin);
/* False: the offset is beyond what was ever sent, which breaks the protocol. */
bool output_ack(struct output_stream *stream, struct ring_budget *budget, uint64_t offset);
/* A new connection: everything unacknowledged is to be sent again. */
void output_rewind(struct output_stream *stream);
/* Ended, and all of it was sent on this connection (or acknowledged before). */
bool output_delivered(const struct output_stream *stream);

struct input_stream {
	struct ring ring;
	bool fin;    /* nothing comes after ring.end */
	bool closed; /* the process's end is gone or was closed: what still comes is dropped */
};

enum input_result {
	INPUT_TAKEN,
	INPUT_BROKEN, /* a gap, bytes behind the fin, or more than STDIN_BYTES_MAX: breaks the protocol */
	INPUT_FULL,   /* no memory */
};

/* Bytes that were received already are skipped, so that a supervisor may send again from what was acknowledged. */
enum input_result input_accept(struct input_stream *stream, struct ring_budget *budget, uint64_t offset, struct msgpack_view bytes, bool fin);

#endif
