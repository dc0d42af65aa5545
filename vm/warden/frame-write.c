/* Encodes what the warden sends. Pure. */
#include <string.h>

#include "codec.h"
#include "frame.h"

void frame_write_start(struct msgpack_writer *writer, void *buffer, size_t capacity, enum frame_type type, uint32_t fields)
{
	msgpack_write_start(writer, buffer, capacity);
	if (capacity < FRAME_HEADER_SIZE)
		writer->full = true;
	else
		writer->size = FRAME_HEADER_SIZE;
	msgpack_write_array(writer, fields + 1);
	msgpack_write_uint(writer, type);
}

size_t frame_write_finish(struct msgpack_writer *writer)
{
	size_t size = writer->size - FRAME_HEADER_SIZE;
	if (writer->full || size > FRAME_SIZE_MAX)
		return 0;
	for (size_t index = 0; index < FRAME_HEADER_SIZE; index++)
		writer->data[index] = (uint8_t)(size >> (8 * (FRAME_HEADER_SIZE - 1 - index)));
	return writer->size;
}

static void write_name(struct msgpack_writer *writer, const char *name)
{
	msgpack_write_text(writer, name, SESSION_NAME_SIZE);
}

size_t frame_write_hello_ok(void *buffer, size_t capacity, const struct hello_answer *answer)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_HELLO_OK, 5);
	msgpack_write_uint(&writer, WIRE_VERSION);
	msgpack_write_text(&writer, answer->warden_id, 128);
	msgpack_write_text(&writer, answer->binary_sha256, 128);
	msgpack_write_array(&writer, answer->features_count);
	for (uint32_t index = 0; index < answer->features_count; index++)
		msgpack_write_text(&writer, answer->features[index], 64);
	msgpack_write_array(&writer, 4);
	msgpack_write_uint(&writer, SESSION_NAME_SIZE - 1);
	msgpack_write_uint(&writer, SANDBOXES_MAX);
	msgpack_write_uint(&writer, answer->window_bytes_max);
	msgpack_write_uint(&writer, answer->memory_total_bytes);
	return frame_write_finish(&writer);
}

size_t frame_write_ok(void *buffer, size_t capacity, uint32_t seq, const uint64_t *values, uint32_t count)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_OK, 2);
	msgpack_write_uint(&writer, seq);
	msgpack_write_array(&writer, count);
	for (uint32_t index = 0; index < count; index++)
		msgpack_write_uint(&writer, values[index]);
	return frame_write_finish(&writer);
}

size_t frame_write_error(void *buffer, size_t capacity, uint32_t seq, enum warden_error error, const char *message, int sys_errno)
{
	struct msgpack_writer writer;
	enum warden_error known = error > E_NONE && error <= E_INTERNAL ? error : E_INTERNAL;
	frame_write_start(&writer, buffer, capacity, FRAME_ERROR, 4);
	msgpack_write_uint(&writer, seq);
	msgpack_write_text(&writer, warden_error_names[known], 64);
	msgpack_write_text(&writer, message, DETAIL_SIZE);
	msgpack_write_int(&writer, sys_errno);
	return frame_write_finish(&writer);
}

size_t frame_write_ack(void *buffer, size_t capacity, const char *name, uint32_t exec_id, uint32_t stream, uint64_t offset)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_ACK, 4);
	write_name(&writer, name);
	msgpack_write_uint(&writer, exec_id);
	msgpack_write_uint(&writer, stream);
	msgpack_write_uint(&writer, offset);
	return frame_write_finish(&writer);
}

size_t frame_write_exit(void *buffer, size_t capacity, const char *name, uint32_t exec_id, const struct exit_record *record,
			uint64_t stdout_bytes, uint64_t stderr_bytes)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_EXIT, 13);
	write_name(&writer, name);
	msgpack_write_uint(&writer, exec_id);
	msgpack_write_uint(&writer, record->cause);
	msgpack_write_uint(&writer, record->code);
	msgpack_write_uint(&writer, record->signal_number);
	msgpack_write_uint(&writer, record->flags);
	msgpack_write_uint(&writer, record->wall_us);
	msgpack_write_uint(&writer, record->user_us);
	msgpack_write_uint(&writer, record->system_us);
	msgpack_write_uint(&writer, record->max_rss_kib);
	msgpack_write_uint(&writer, stdout_bytes);
	msgpack_write_uint(&writer, stderr_bytes);
	msgpack_write_text(&writer, record->detail, sizeof record->detail);
	return frame_write_finish(&writer);
}

size_t frame_write_died(void *buffer, size_t capacity, const char *name, uint32_t reason, const char *detail)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_DIED, 3);
	write_name(&writer, name);
	msgpack_write_uint(&writer, reason);
	msgpack_write_text(&writer, detail, DETAIL_SIZE);
	return frame_write_finish(&writer);
}

size_t frame_write_grant_ended(void *buffer, size_t capacity, const char *name, const struct grant_ended_notice *end)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_GRANT_ENDED, 5);
	write_name(&writer, name);
	msgpack_write_uint(&writer, end->grant_id);
	msgpack_write_uint(&writer, end->reason);
	msgpack_write_uint(&writer, end->processes_killed);
	msgpack_write_uint(&writer, end->child_killed != 0);
	return frame_write_finish(&writer);
}

size_t frame_write_event(void *buffer, size_t capacity, const char *name, const char *kind, const char *detail)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_EVENT, 3);
	write_name(&writer, name);
	msgpack_write_text(&writer, kind, 64);
	msgpack_write_text(&writer, detail, DETAIL_SIZE);
	return frame_write_finish(&writer);
}

size_t frame_write_denied(void *buffer, size_t capacity, const char *name, const struct denial_notice *denial)
{
	struct msgpack_writer writer;
	frame_write_start(&writer, buffer, capacity, FRAME_DENIED, 7);
	write_name(&writer, name);
	msgpack_write_uint(&writer, denial->ordinal);
	msgpack_write_uint(&writer, denial->pid > 0 ? (uint64_t)denial->pid : 0);
	msgpack_write_text(&writer, denial->program, sizeof denial->program);
	msgpack_write_text(&writer, denial->call, sizeof denial->call);
	msgpack_write_text(&writer, denial->detail, sizeof denial->detail);
	msgpack_write_uint(&writer, denial->repeated);
	return frame_write_finish(&writer);
}

size_t frame_write_data(void *buffer, size_t capacity, const struct data_frame *data)
{
	struct msgpack_writer writer;
	size_t size = data->parts[0].size + data->parts[1].size;
	if (size > FRAME_DATA_BYTES)
		return 0;
	frame_write_start(&writer, buffer, capacity, FRAME_DATA, 6);
	write_name(&writer, data->name);
	msgpack_write_uint(&writer, data->exec_id);
	msgpack_write_uint(&writer, data->stream);
	msgpack_write_uint(&writer, data->offset);
	msgpack_write_bin_header(&writer, (uint32_t)size);
	if (writer.full || writer.capacity - writer.size < size)
		return 0;
	for (size_t part = 0; part < 2; part++) {
		if (data->parts[part].size > 0)
			memcpy(writer.data + writer.size, data->parts[part].bytes, data->parts[part].size);
		writer.size += data->parts[part].size;
	}
	msgpack_write_bool(&writer, data->fin);
	return frame_write_finish(&writer);
}
