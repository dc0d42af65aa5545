/* Writer of the msgpack subset. Pure. */
#include <string.h>

#include "msgpack.h"

void msgpack_write_start(struct msgpack_writer *writer, void *data, size_t capacity)
{
	*writer = (struct msgpack_writer){.data = data, .capacity = capacity};
}

static void put(struct msgpack_writer *writer, uint8_t type, uint64_t value, size_t width)
{
	if (writer->full || writer->capacity - writer->size < 1 + width) {
		writer->full = true;
		return;
	}
	writer->data[writer->size++] = type;
	for (size_t index = width; index > 0; index--)
		writer->data[writer->size++] = (uint8_t)(value >> (8 * (index - 1)));
}

void msgpack_write_array(struct msgpack_writer *writer, uint32_t count)
{
	if (count < 16)
		put(writer, (uint8_t)(0x90 | count), 0, 0);
	else if (count <= UINT16_MAX)
		put(writer, 0xdc, count, 2);
	else
		put(writer, 0xdd, count, 4);
}

void msgpack_write_uint(struct msgpack_writer *writer, uint64_t value)
{
	if (value <= 0x7f)
		put(writer, (uint8_t)value, 0, 0);
	else if (value <= UINT8_MAX)
		put(writer, 0xcc, value, 1);
	else if (value <= UINT16_MAX)
		put(writer, 0xcd, value, 2);
	else if (value <= UINT32_MAX)
		put(writer, 0xce, value, 4);
	else
		/* What the kernel counts can pass what the other side can hold; the largest value it can hold says enough. */
		put(writer, 0xcf, value > MSGPACK_UINT_MAX ? MSGPACK_UINT_MAX : value, 8);
}

void msgpack_write_int(struct msgpack_writer *writer, int64_t value)
{
	if (value >= 0)
		msgpack_write_uint(writer, (uint64_t)value);
	else if (value >= -32)
		put(writer, (uint8_t)value, 0, 0);
	else if (value >= INT32_MIN)
		put(writer, 0xd2, (uint64_t)value, 4);
	else
		put(writer, 0xd3, (uint64_t)value, 8);
}

void msgpack_write_bool(struct msgpack_writer *writer, bool value)
{
	put(writer, value ? 0xc3 : 0xc2, 0, 0);
}

static bool is_control(const uint8_t *sequence, size_t length)
{
	return (length == 1 && (sequence[0] < ' ' || sequence[0] == 0x7f)) || (length == 2 && sequence[0] == 0xc2 && sequence[1] < 0xa0);
}

void msgpack_write_text(struct msgpack_writer *writer, const char *text, size_t size_max)
{
	size_t size = strnlen(text, size_max < UINT16_MAX ? size_max : UINT16_MAX);
	if (size < 32)
		put(writer, (uint8_t)(0xa0 | size), 0, 0);
	else
		put(writer, 0xda, size, 2);
	if (writer->full || writer->capacity - writer->size < size) {
		writer->full = true;
		return;
	}
	for (size_t at = 0; at < size;) {
		const uint8_t *sequence = (const uint8_t *)text + at;
		size_t length = utf8_sequence(sequence, size - at);
		bool clean = length > 0 && !is_control(sequence, length);
		length = length > 0 ? length : 1;
		for (size_t index = 0; index < length; index++)
			writer->data[writer->size++] = clean ? sequence[index] : '?';
		at += length;
	}
}

void msgpack_write_bin_header(struct msgpack_writer *writer, uint32_t size)
{
	if (size <= UINT8_MAX)
		put(writer, 0xc4, size, 1);
	else if (size <= UINT16_MAX)
		put(writer, 0xc5, size, 2);
	else
		put(writer, 0xc6, size, 4);
}
