/* Reader of the msgpack subset. Pure. */
#include "msgpack.h"

void msgpack_read_start(struct msgpack_reader *reader, const void *data, size_t size)
{
	*reader = (struct msgpack_reader){.data = data, .size = size};
}

static size_t left(const struct msgpack_reader *reader)
{
	return reader->size - reader->at;
}

static uint8_t take_type(struct msgpack_reader *reader)
{
	if (reader->bad || left(reader) == 0) {
		reader->bad = true;
		return 0xc1; /* never used by msgpack: matches no type */
	}
	return reader->data[reader->at++];
}

static uint64_t take_big_endian(struct msgpack_reader *reader, size_t width)
{
	if (reader->bad || left(reader) < width) {
		reader->bad = true;
		return 0;
	}
	uint64_t value = 0;
	for (size_t index = 0; index < width; index++)
		value = value << 8 | reader->data[reader->at++];
	return value;
}

uint32_t msgpack_read_array(struct msgpack_reader *reader, uint32_t count_max)
{
	uint8_t type = take_type(reader);
	uint64_t count = 0;
	if ((type & 0xf0) == 0x90)
		count = type & 0x0f;
	else if (type == 0xdc || type == 0xdd)
		count = take_big_endian(reader, type == 0xdc ? 2 : 4);
	else
		reader->bad = true;
	if (count > count_max || count > left(reader))
		reader->bad = true;
	return reader->bad ? 0 : (uint32_t)count;
}

uint64_t msgpack_read_uint(struct msgpack_reader *reader, uint64_t max)
{
	uint8_t type = take_type(reader);
	uint64_t value = 0;
	if (type <= 0x7f) {
		value = type;
	} else if (type >= 0xcc && type <= 0xcf) {
		value = take_big_endian(reader, (size_t)1 << (type - 0xcc));
	} else if (type >= 0xd0 && type <= 0xd3) {
		/* Encoders write a 64-bit number as signed where it fits; only a negative one is wrong. */
		size_t width = (size_t)1 << (type - 0xd0);
		value = take_big_endian(reader, width);
		if (value >> (8 * width - 1))
			reader->bad = true;
	} else {
		reader->bad = true;
	}
	if (value > max)
		reader->bad = true;
	return reader->bad ? 0 : value;
}

bool msgpack_read_bool(struct msgpack_reader *reader)
{
	uint8_t type = take_type(reader);
	if (type != 0xc2 && type != 0xc3)
		reader->bad = true;
	return type == 0xc3;
}

static struct msgpack_view take_view(struct msgpack_reader *reader, uint64_t size, size_t size_max)
{
	if (reader->bad || size > size_max || size > left(reader)) {
		reader->bad = true;
		return (struct msgpack_view){.bytes = reader->data};
	}
	struct msgpack_view view = {.bytes = reader->data + reader->at, .size = (size_t)size};
	reader->at += (size_t)size;
	return view;
}

size_t utf8_sequence(const uint8_t *bytes, size_t size)
{
	uint8_t first = bytes[0];
	if (first < 0x80)
		return first != 0;
	size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4)
		return 0;
#ifdef COHORT_FUZZ_CANARY
	size = length; /* planted for the fuzzer: a sequence that is cut is read beyond its end */
#endif
	if (length > size)
		return 0;
	for (size_t index = 1; index < length; index++)
		if ((bytes[index] & 0xc0) != 0x80)
			return 0;
	uint8_t second = bytes[1];
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0))
		return 0;
	if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90))
		return 0;
	return length;
}

struct msgpack_view msgpack_read_str(struct msgpack_reader *reader, size_t size_max)
{
	uint8_t type = take_type(reader);
	uint64_t size = 0;
	if ((type & 0xe0) == 0xa0)
		size = type & 0x1f;
	else if (type >= 0xd9 && type <= 0xdb)
		size = take_big_endian(reader, (size_t)1 << (type - 0xd9));
	else
		reader->bad = true;
	struct msgpack_view view = take_view(reader, size, size_max);
	for (size_t at = 0; at < view.size;) {
		size_t length = utf8_sequence(view.bytes + at, view.size - at);
		if (length == 0) {
			reader->bad = true;
			return (struct msgpack_view){.bytes = reader->data};
		}
		at += length;
	}
	return view;
}

struct msgpack_view msgpack_read_bin(struct msgpack_reader *reader, size_t size_max)
{
	uint8_t type = take_type(reader);
	uint64_t size = 0;
	if (type >= 0xc4 && type <= 0xc6)
		size = take_big_endian(reader, (size_t)1 << (type - 0xc4));
	else
		reader->bad = true;
	return take_view(reader, size, size_max);
}

bool msgpack_read_end(const struct msgpack_reader *reader)
{
	return !reader->bad && reader->at == reader->size;
}
