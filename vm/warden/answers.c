/* Frames to the supervisor that answer or tell; without a supervisor they go nowhere. */
#include <stdio.h>
#include <string.h>

#include "codec-state.h"

void answer_ok(struct codec *codec, uint32_t seq, const uint64_t *values, uint32_t count)
{
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_ok(space, FRAME_CONTROL_SIZE_MAX, seq, values, count));
}

void answer_error(struct codec *codec, uint32_t seq, enum warden_error error, int sys_errno, const char *format, ...)
{
	char message[DETAIL_SIZE];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_error(space, FRAME_CONTROL_SIZE_MAX, seq, error, message, sys_errno));
}

void answer_created(struct codec *codec, uint32_t seq, const struct sandbox *sandbox)
{
	uint64_t values[] = {sandbox->uid, (uint64_t)sandbox->init_pid, sandbox->layers};
	answer_ok(codec, seq, values, 3);
}

static void write_exec(struct msgpack_writer *writer, const struct exec *exec)
{
	msgpack_write_array(writer, 6);
	msgpack_write_uint(writer, exec->id);
	msgpack_write_uint(writer, exec->state >= EXEC_REAPED ? 1 : 0);
	for (size_t index = 0; index < 2; index++) {
		msgpack_write_uint(writer, exec->out[index].ring.start);
		msgpack_write_uint(writer, exec->out[index].ring.end);
	}
}

/* In the words of wire.md: 0 alive, 1 frozen, 2 dead. */
static uint64_t listed_state(const struct codec *codec, const struct sandbox *sandbox)
{
	if (sandbox->state == SANDBOX_DEAD || sandbox->destroying)
		return 2;
	return sandbox->frozen || codec->lease.state == LEASE_FROZEN ? 1 : 0;
}

void answer_list(struct codec *codec, uint32_t seq)
{
	size_t capacity = FRAME_SIZE_MAX + FRAME_HEADER_SIZE;
	uint8_t *space = supervisor_space(codec, capacity);
	if (space == NULL)
		return;
	struct msgpack_writer writer;
	frame_write_start(&writer, space, capacity, FRAME_OK, 2);
	msgpack_write_uint(&writer, seq);
	msgpack_write_array(&writer, 1);
	msgpack_write_array(&writer, codec->table.count);
	for (const struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next) {
		if (sandbox->state == SANDBOX_GONE)
			continue;
		msgpack_write_array(&writer, 4);
		msgpack_write_text(&writer, sandbox->name, sizeof sandbox->name);
		msgpack_write_uint(&writer, sandbox->uid);
		msgpack_write_uint(&writer, listed_state(codec, sandbox));
		msgpack_write_array(&writer, sandbox->exec_count);
		for (const struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next)
			write_exec(&writer, exec);
	}
	size_t size = frame_write_finish(&writer);
	if (size > 0)
		supervisor_commit(codec, size);
	else
		answer_error(codec, seq, E_INTERNAL, EMSGSIZE, "the list of sandboxes is longer than a frame");
}

void tell_died(struct codec *codec, const struct sandbox *sandbox, uint32_t reason, const char *detail)
{
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_died(space, FRAME_CONTROL_SIZE_MAX, sandbox->name, reason, detail));
}

void tell_event(struct codec *codec, const char *name, const char *kind, const char *detail)
{
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_event(space, FRAME_CONTROL_SIZE_MAX, name, kind, detail));
}
