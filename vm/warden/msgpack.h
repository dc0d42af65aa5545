/* The subset of msgpack that docs/design/wire.md allows: nil, bool, integers, str, bin, array. Pure.
 *
 * Reader: any call on what is not there, is of another type or breaks a bound sets `bad`; it stays set, and
 * every later call answers zero or empty, so that a decoder checks once at its end. Views point into the input.
 * Writer: what does not fit sets `full` and stays set; nothing is written past the capacity. */
#ifndef COHORT_MSGPACK_H
#define COHORT_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSGPACK_UINT_MAX ((UINT64_C(1) << 53) - 1) /* what a JavaScript number holds */

struct msgpack_view {
	const uint8_t *bytes;
	size_t size;
};

struct msgpack_reader {
	const uint8_t *data;
	size_t size, at;
	bool bad;
};

void msgpack_read_start(struct msgpack_reader *reader, const void *data, size_t size);
/* Elements of the array whose header is next; refused if that is more than count_max or than bytes are left. */
uint32_t msgpack_read_array(struct msgpack_reader *reader, uint32_t count_max);
uint64_t msgpack_read_uint(struct msgpack_reader *reader, uint64_t max);
bool msgpack_read_bool(struct msgpack_reader *reader);
/* Well-formed UTF-8 without NUL, at most size_max bytes. */
struct msgpack_view msgpack_read_str(struct msgpack_reader *reader, size_t size_max);
struct msgpack_view msgpack_read_bin(struct msgpack_reader *reader, size_t size_max);
/* True if nothing was bad and nothing is left. */
bool msgpack_read_end(const struct msgpack_reader *reader);

struct msgpack_writer {
	uint8_t *data;
	size_t capacity, size;
	bool full;
};

void msgpack_write_start(struct msgpack_writer *writer, void *data, size_t capacity);
void msgpack_write_array(struct msgpack_writer *writer, uint32_t count);
void msgpack_write_uint(struct msgpack_writer *writer, uint64_t value);
void msgpack_write_int(struct msgpack_writer *writer, int64_t value);
void msgpack_write_bool(struct msgpack_writer *writer, bool value);
/* What is not well-formed UTF-8, and every control character, becomes '?': details come from places that we do not trust. */
void msgpack_write_text(struct msgpack_writer *writer, const char *text, size_t size_max);
/* The header alone; size bytes are to follow. */
void msgpack_write_bin_header(struct msgpack_writer *writer, uint32_t size);

/* Bytes of the UTF-8 sequence at the front; 0 if it is none (overlong, surrogate, beyond U+10FFFF) or is NUL. size >= 1. */
size_t utf8_sequence(const uint8_t *bytes, size_t size);

#endif
