/* Frames that speak to one exec: acknowledgements, input, windows, signals, terminal sizes. */
#include <string.h>

#include "codec-state.h"
#include "pty.h"

/* NULL for what ended a moment ago: such frames cross its EXIT on the way, and mean nothing any more. */
static struct exec *named_exec(struct codec *codec)
{
	struct sandbox *sandbox = table_find(&codec->table, codec->frame.name);
	return sandbox == NULL ? NULL : exec_find(sandbox, codec->frame.exec_id);
}

void exec_ack(struct codec *codec)
{
	struct exec *exec = named_exec(codec);
	if (exec == NULL)
		return;
	size_t index = codec->frame.stream - 1;
	if (!output_ack(&exec->out[index], &codec->table.budget, codec->frame.offset)) {
		supervisor_violation(codec, "it acknowledged bytes that were never sent");
		return;
	}
	if (exec->out_readable[index])
		exec_make_readable(codec, exec);
}

void exec_exit_ack(struct codec *codec)
{
	struct exec *exec = named_exec(codec);
	if (exec == NULL)
		return;
	struct sandbox *sandbox = exec->sandbox;
	if (exec->state != EXEC_FINISHED) {
		supervisor_violation(codec, "it acknowledged an EXIT that was never sent");
		return;
	}
	exec_remove(&codec->table, exec, true);
	sandbox_settle(codec, sandbox);
}

void exec_credit(struct codec *codec)
{
	if (codec->frame.window_bytes > WINDOW_BYTES_MAX) {
		supervisor_violation(codec, "it gave a window over the limit of HELLO_OK");
		return;
	}
	struct exec *exec = named_exec(codec);
	if (exec == NULL)
		return;
	size_t index = codec->frame.stream - 1;
	exec->out[index].window = codec->frame.window_bytes;
	if (exec->out_readable[index])
		exec_make_readable(codec, exec);
}

void exec_input_data(struct codec *codec)
{
	const struct frame *frame = &codec->frame;
	struct exec *exec = named_exec(codec);
	if (exec == NULL)
		return;
	size_t index = frame->stream == WIRE_TOOLS ? IN_TOOLS : IN_STDIN;
	if (!exec->in_wanted[index]) {
		const char *why = index == IN_TOOLS ? "this process was started without a tools channel" : "this process was started without a stdin";
		tell_event(codec, frame->name, "stdin-refused", why);
		return;
	}
	switch (input_accept(&exec->in[index], &codec->table.budget, frame->offset, frame->bytes, frame->fin)) {
	case INPUT_TAKEN: exec_input_write(codec, exec, index); break;
	case INPUT_BROKEN: supervisor_violation(codec, "input has a gap, goes on behind its end, or is more than may wait"); break;
	case INPUT_FULL: supervisor_violation(codec, "no memory for input"); break;
	}
}

static void answer_sent(struct codec *codec, struct sandbox *sandbox, const struct signal_request *request)
{
	if (init_send(codec, sandbox, request, sizeof *request, NULL, 0))
		answer_ok(codec, codec->frame.seq, NULL, 0);
	else
		answer_error(codec, codec->frame.seq, E_INTERNAL, errno, "the init of %s takes no message: %s", sandbox->name, strerror(errno));
}

void exec_signal(struct codec *codec, struct sandbox *sandbox)
{
	const struct frame *frame = &codec->frame;
	const struct exec *exec = frame->exec_id == 0 ? NULL : exec_find(sandbox, frame->exec_id);
	bool ended = exec != NULL ? exec->state >= EXEC_REAPED : exec_ended_before(sandbox, frame->exec_id);
	if (frame->exec_id != 0 && ended) {
		answer_ok(codec, frame->seq, NULL, 0); /* it ended on its own before */
		return;
	}
	if (frame->exec_id != 0 && exec == NULL) {
		answer_error(codec, frame->seq, E_EXEC_UNKNOWN, 0, "%s has no process %u", sandbox->name, frame->exec_id);
		return;
	}
	struct signal_request request = {.kind = TO_INIT_SIGNAL, .exec_id = frame->exec_id, .signal_number = frame->signal_number};
	answer_sent(codec, sandbox, &request);
}

void exec_resize(struct codec *codec, struct sandbox *sandbox)
{
	const struct frame *frame = &codec->frame;
	const struct exec *exec = exec_find(sandbox, frame->exec_id);
	if (exec == NULL || !exec->pty)
		answer_error(codec, frame->seq, E_EXEC_UNKNOWN, 0, "%s has no process %u with a terminal", sandbox->name, frame->exec_id);
	else if (exec->out_watch[OUT_STDOUT].fd >= 0 && pty_resize(exec->out_watch[OUT_STDOUT].fd, frame->rows, frame->columns) < 0)
		answer_error(codec, frame->seq, E_INTERNAL, errno, "resize: %s", strerror(errno));
	else
		answer_ok(codec, frame->seq, NULL, 0);
}
