/* Fuzz target: the reader of msgpack and the decoder of frames. Every byte that a decoded frame points to is touched,
 * so that a sanitizer sees each view that leaves its buffer. Links with libFuzzer, or with fuzz-main.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vm/warden/frame.h"
#include "fuzz.h"

static struct frame frame;
static struct frame_scratch scratch;
static volatile unsigned int sink;

static void touch(struct msgpack_view view)
{
	for (size_t index = 0; index < view.size; index++)
		sink += view.bytes[index];
}

static void check_name(void)
{
	size_t size = strnlen(frame.name, sizeof frame.name);
	CHECK(size > 0 && size < sizeof frame.name);
	CHECK(frame.name[0] >= 'a' && frame.name[0] <= 'z');
}

static void check_exec(void)
{
	CHECK(frame.blob_size <= EXEC_BLOB_MAX && frame.argc >= 1 && frame.argc <= ARGS_MAX && frame.envc <= ARGS_MAX);
	uint32_t strings = 0;
	for (uint32_t index = 0; index < frame.blob_size; index++)
		strings += scratch.blob[index] == '\0';
	CHECK(strings == frame.argc + frame.envc);
	CHECK(strnlen(frame.cwd, sizeof frame.cwd) < sizeof frame.cwd);
}

static void check_mount(const struct mount_request *mount)
{
	CHECK(strnlen(mount->source, sizeof mount->source) < sizeof mount->source);
	CHECK(strnlen(mount->target, sizeof mount->target) < sizeof mount->target);
	CHECK(mount->mode <= MOUNT_STAGED);
	CHECK((mount->mode == MOUNT_STAGED) == (mount->staged_bytes != 0));
}

static void check_create(void)
{
	CHECK(scratch.create.mount_count <= MOUNTS_MAX);
	CHECK(strnlen(scratch.create.endpoint, sizeof scratch.create.endpoint) < sizeof scratch.create.endpoint);
	for (uint32_t index = 0; index < scratch.create.mount_count; index++) {
		check_mount(&scratch.create.mounts[index]);
	}
}

/* What one side writes the other reads: a DATA of these bytes comes back as it was. */
static void check_round_trip(void)
{
	static uint8_t buffer[FRAME_DATA_BYTES + FRAME_CONTROL_SIZE_MAX];
	if (frame.bytes.size > FRAME_DATA_BYTES)
		return;
	size_t half = frame.bytes.size / 2;
	struct data_frame data = {.name = frame.name, .exec_id = frame.exec_id, .stream = frame.stream, .offset = frame.offset, .fin = frame.fin,
		.parts = {{frame.bytes.bytes, half}, {frame.bytes.bytes + half, frame.bytes.size - half}}};
	size_t size = frame_write_data(buffer, sizeof buffer, &data);
	CHECK(size > FRAME_HEADER_SIZE);
	static struct frame again;
	CHECK(frame_decode(&again, &scratch, buffer + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE));
	CHECK(strcmp(again.name, frame.name) == 0 && again.exec_id == frame.exec_id && again.offset == frame.offset);
	CHECK(again.stream == frame.stream && (frame.stream == WIRE_STDIN || frame.stream == WIRE_TOOLS));
	CHECK(again.fin == frame.fin && again.bytes.size == frame.bytes.size);
	CHECK(frame.bytes.size == 0 || memcmp(again.bytes.bytes, frame.bytes.bytes, frame.bytes.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of the exact size: one byte beyond it is a finding. */
	uint8_t *exact = malloc(size > 0 ? size : 1);
	CHECK(exact != NULL);
	if (size > 0)
		memcpy(exact, data, size);
	if (frame_decode(&frame, &scratch, exact, size) && frame.refused == E_NONE) {
		touch(frame.bytes);
		bool named = frame.type != FRAME_HELLO && frame.type != FRAME_LIST && frame.type != FRAME_RENEW && frame.type != FRAME_SHUTDOWN;
		if (named)
			check_name();
		if (frame.type == FRAME_EXEC)
			check_exec();
		if (frame.type == FRAME_CREATE)
			check_create();
		if (frame.type == FRAME_GRANT) {
			CHECK(scratch.grant.grant_id >= GRANT_ID_MIN && scratch.grant.op == OP_GRANT);
			check_mount(&scratch.grant.mount);
		}
		if (frame.type == FRAME_DATA)
			check_round_trip();
	}
	free(exact);
	return 0;
}

static size_t seed_create(uint8_t *buffer, size_t capacity)
{
	struct msgpack_writer writer;
	msgpack_write_start(&writer, buffer, capacity);
	msgpack_write_array(&writer, 14);
	msgpack_write_uint(&writer, FRAME_CREATE);
	msgpack_write_uint(&writer, 7);
	msgpack_write_text(&writer, "serene-vibrant-newton", 64);
	for (uint64_t field = 0; field < 9; field++)
		msgpack_write_uint(&writer, field < 8 ? field << (5 * field) : 0);
	msgpack_write_array(&writer, 3);
	for (uint64_t mount = 0; mount < 3; mount++) {
		msgpack_write_array(&writer, 4);
		msgpack_write_text(&writer, "/home/person/project", 64);
		msgpack_write_text(&writer, mount == 0 ? "project" : "data", 64);
		msgpack_write_uint(&writer, mount);
		msgpack_write_uint(&writer, mount == MOUNT_STAGED ? 1 << 20 : 0);
	}
	msgpack_write_text(&writer, "", 64);
	return writer.size;
}

static size_t seed_grant(uint8_t *buffer, size_t capacity)
{
	struct msgpack_writer writer;
	msgpack_write_start(&writer, buffer, capacity);
	msgpack_write_array(&writer, 9);
	msgpack_write_uint(&writer, FRAME_GRANT);
	msgpack_write_uint(&writer, 7);
	msgpack_write_text(&writer, "serene-vibrant-newton", 64);
	msgpack_write_uint(&writer, GRANT_ID_MIN);
	msgpack_write_text(&writer, "/home/person/project", 64);
	msgpack_write_text(&writer, "project", 64);
	msgpack_write_uint(&writer, MOUNT_STAGED);
	msgpack_write_uint(&writer, 1800000);
	msgpack_write_uint(&writer, 1 << 26);
	return writer.size;
}

static size_t seed_exec(uint8_t *buffer, size_t capacity)
{
	struct msgpack_writer writer;
	msgpack_write_start(&writer, buffer, capacity);
	msgpack_write_array(&writer, 12);
	msgpack_write_uint(&writer, FRAME_EXEC);
	msgpack_write_uint(&writer, 8);
	msgpack_write_text(&writer, "serene-vibrant-newton", 64);
	msgpack_write_uint(&writer, 1);
	msgpack_write_uint(&writer, EXEC_COMMAND);
	msgpack_write_array(&writer, 3);
	msgpack_write_text(&writer, "/bin/sh", 64);
	msgpack_write_text(&writer, "-c", 64);
	msgpack_write_text(&writer, "echo \xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82", 64);
	msgpack_write_array(&writer, 1);
	msgpack_write_text(&writer, "HOME=/sessions/serene-vibrant-newton", 64);
	msgpack_write_text(&writer, "/tmp", 64);
	msgpack_write_uint(&writer, WIRE_EXEC_PTY | WIRE_EXEC_STDIN | WIRE_EXEC_TOOLS);
	msgpack_write_uint(&writer, 24);
	msgpack_write_uint(&writer, 80);
	msgpack_write_uint(&writer, 65536);
	return writer.size;
}

static size_t seed_data(uint8_t *buffer, size_t capacity, enum wire_stream stream)
{
	struct msgpack_writer writer;
	msgpack_write_start(&writer, buffer, capacity);
	msgpack_write_array(&writer, 7);
	msgpack_write_uint(&writer, FRAME_DATA);
	msgpack_write_text(&writer, "a-b", 64);
	msgpack_write_uint(&writer, 1);
	msgpack_write_uint(&writer, stream);
	msgpack_write_uint(&writer, 1000);
	msgpack_write_bin_header(&writer, 5);
	memcpy(writer.data + writer.size, "hello", 5);
	writer.size += 5;
	msgpack_write_bool(&writer, true);
	return writer.size;
}

size_t fuzz_seed(size_t number, uint8_t *buffer, size_t capacity)
{
	static const uint8_t small[][8] = {
		{FRAME_HELLO, 5}, {FRAME_ACK, 5}, {FRAME_SIGNAL, 5}, {FRAME_RESIZE, 6}, {FRAME_KILL, 3}, {FRAME_LIST, 2}, {FRAME_EXIT_ACK, 3},
		{FRAME_RENEW, 1}, {FRAME_CREDIT, 5}, {FRAME_REVOKE, 4},
	};
	if (number == 0)
		return seed_create(buffer, capacity);
	if (number == 1)
		return seed_exec(buffer, capacity);
	if (number == 2 || number == 3)
		return seed_data(buffer, capacity, number == 2 ? WIRE_STDIN : WIRE_TOOLS);
	if (number == 4)
		return seed_grant(buffer, capacity);
	number -= 5;
	if (number >= sizeof small / sizeof small[0])
		return 0;
	bool has_seq = frame_has_answer((enum frame_type)small[number][0]) && small[number][0] != FRAME_HELLO;
	struct msgpack_writer writer;
	msgpack_write_start(&writer, buffer, capacity);
	msgpack_write_array(&writer, small[number][1]);
	msgpack_write_uint(&writer, small[number][0]);
	for (uint32_t field = 1; field < small[number][1]; field++) {
		if (field == (has_seq ? 2u : small[number][0] == FRAME_HELLO ? 2u : 1u))
			msgpack_write_text(&writer, "a-b", 64);
		else
			msgpack_write_uint(&writer, 1);
	}
	return writer.size;
}
