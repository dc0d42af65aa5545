/* What goes to the supervisor of each sandbox, in fair turns: ACK of input, DATA, EXIT.
 *
 * O1  A sandbox stands in the ready list exactly once while one of its execs has something to send.
 * O2  A turn is one exec of one sandbox: at most one DATA of each stream. The exec, then the sandbox, goes to the end.
 * O3  EXIT follows the last DATA of all streams, once a connection. */
#include "codec-state.h"

static bool exit_pending(const struct exec *exec)
{
	if (exec->state != EXEC_FINISHED || exec->exit_sent)
		return false;
	for (size_t index = 0; index < OUT_COUNT; index++)
		if (!output_delivered(&exec->out[index]))
			return false;
	return true;
}

static bool has_output(const struct exec *exec)
{
	for (size_t index = 0; index < IN_COUNT; index++)
		if (exec->in_ack_due[index])
			return true;
	for (size_t index = 0; index < OUT_COUNT; index++)
		if (output_pending(&exec->out[index]))
			return true;
	return exit_pending(exec);
}

void output_make_ready(struct codec *codec, struct sandbox *sandbox)
{
	if (sandbox->ready || sandbox->removed)
		return;
	sandbox->ready = true;
	sandbox->ready_next = NULL;
	*(codec->last_ready ? &codec->last_ready->ready_next : &codec->first_ready) = sandbox;
	codec->last_ready = sandbox;
}

static bool send_data(struct codec *codec, struct exec *exec, size_t index)
{
	size_t size_max = FRAME_DATA_BYTES + FRAME_CONTROL_SIZE_MAX;
	uint8_t *space = supervisor_space(codec, size_max);
	if (space == NULL)
		return false;
	struct data_frame data = {.name = exec->sandbox->name, .exec_id = exec->id, .stream = (uint32_t)index + 1};
	output_take(&exec->out[index], FRAME_DATA_BYTES, data.parts, &data.offset, &data.fin);
	supervisor_commit(codec, frame_write_data(space, size_max, &data));
	return true;
}

static bool send_ack(struct codec *codec, struct exec *exec, size_t index)
{
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space == NULL)
		return false;
	uint32_t stream = index == IN_TOOLS ? WIRE_TOOLS : WIRE_STDIN;
	uint64_t written = exec->in[index].ring.start;
	supervisor_commit(codec, frame_write_ack(space, FRAME_CONTROL_SIZE_MAX, exec->sandbox->name, exec->id, stream, written));
	exec->in_ack_due[index] = false;
	return true;
}

static void serve_exec(struct codec *codec, struct exec *exec)
{
	const char *name = exec->sandbox->name;
	for (size_t index = 0; index < IN_COUNT; index++)
		if (exec->in_ack_due[index] && !send_ack(codec, exec, index))
			return;
	for (size_t index = 0; index < OUT_COUNT; index++)
		if (output_pending(&exec->out[index]) && !send_data(codec, exec, index))
			return;
	if (!exit_pending(exec))
		return;
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space == NULL)
		return;
	supervisor_commit(codec, frame_write_exit(space, FRAME_CONTROL_SIZE_MAX, name, exec->id, &exec->exit,
						  exec->out[OUT_STDOUT].ring.end, exec->out[OUT_STDERR].ring.end));
	exec->exit_sent = true;
}

static struct exec *next_exec(const struct sandbox *sandbox)
{
	struct exec *exec = sandbox->first_exec;
	while (exec != NULL && !has_output(exec))
		exec = exec->next;
	return exec;
}

void output_fill(struct codec *codec)
{
	while (codec->first_ready != NULL && codec->supervisor != NULL) {
		struct link *link = codec->supervisor;
		if (link->out_end - link->out_start >= LINK_OUT_TARGET)
			return;
		struct sandbox *sandbox = codec->first_ready;
		codec->first_ready = sandbox->ready_next;
		if (codec->first_ready == NULL)
			codec->last_ready = NULL;
		sandbox->ready = false;
		struct exec *exec = sandbox->removed ? NULL : next_exec(sandbox);
		if (exec == NULL)
			continue;
		serve_exec(codec, exec);
		exec_rotate(exec);
		if (next_exec(sandbox) != NULL)
			output_make_ready(codec, sandbox);
	}
}

/* A new connection hears everything again that was not acknowledged; who waited on the old one waits no more. */
void output_restart(struct codec *codec)
{
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next) {
		waiters_free(&sandbox->create_waiters);
		waiters_free(&sandbox->destroy_waiters);
		for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next) {
			waiters_free(&exec->waiters);
			for (size_t index = 0; index < OUT_COUNT; index++)
				output_rewind(&exec->out[index]);
			exec->exit_sent = false;
			for (size_t index = 0; index < IN_COUNT; index++)
				exec->in_ack_due[index] = exec->in_wanted[index];
		}
		if (next_exec(sandbox) != NULL)
			output_make_ready(codec, sandbox);
	}
}

void output_collect(struct codec *codec)
{
	codec->last_ready = NULL;
	for (struct sandbox **link = &codec->first_ready; *link != NULL;) {
		if ((*link)->removed) {
			*link = (*link)->ready_next;
		} else {
			codec->last_ready = *link;
			link = &(*link)->ready_next;
		}
	}
	codec->last_readable = NULL;
	for (struct exec **link = &codec->first_readable; *link != NULL;) {
		if ((*link)->removed) {
			*link = (*link)->readable_next;
		} else {
			codec->last_readable = *link;
			link = &(*link)->readable_next;
		}
	}
}
