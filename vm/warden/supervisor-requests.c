/* What each frame of the supervisor asks for, and who does it. */
#include <string.h>

#include "codec-state.h"

static void start_operation(struct codec *codec, struct sandbox *sandbox, enum operation_purpose purpose, uint32_t op)
{
	const struct frame *frame = &codec->frame;
	if (operation_start(codec, purpose, op, sandbox->name, DEATH_ASKED, &frame->seq) == NULL)
		answer_error(codec, frame->seq, E_INTERNAL, EBUSY, "%d operations wait already", OPERATIONS_OF_REQUESTS_MAX);
}

static void probe(struct codec *codec, struct sandbox *sandbox)
{
	struct signal_request request = {.kind = TO_INIT_PROBE};
	if (init_send(codec, sandbox, &request, sizeof request, NULL, 0))
		start_operation(codec, sandbox, PURPOSE_ANSWER_PROBE, OP_PROBE);
	else
		answer_error(codec, codec->frame.seq, E_INTERNAL, errno, "the init of %s takes no message: %s", sandbox->name, strerror(errno));
}

static void kill_sandbox(struct codec *codec, struct sandbox *sandbox)
{
	sandbox->ending = true;
	if (sandbox->state == SANDBOX_ALIVE) {
		start_operation(codec, sandbox, PURPOSE_ANSWER_NOTHING, OP_KILL);
		return;
	}
	sandbox->kill_wanted = true;
	answer_ok(codec, codec->frame.seq, NULL, 0);
}

/* It would be stopped half way: what starts or is collected in this moment goes on until it is done. */
static bool is_busy(const struct sandbox *sandbox)
{
	for (const struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next)
		if (exec->state == EXEC_STARTING || (exec->kind != EXEC_COMMAND && exec->state == EXEC_RUNNING))
			return true;
	return false;
}

static void freeze(struct codec *codec, struct sandbox *sandbox, bool frozen)
{
	if (frozen && is_busy(sandbox)) {
		answer_error(codec, codec->frame.seq, E_SANDBOX_BUSY, 0, "%s starts a process, or is being collected from", sandbox->name);
		return;
	}
	sandbox->frozen = frozen;
	start_operation(codec, sandbox, PURPOSE_ANSWER_NOTHING, frozen ? OP_FREEZE : OP_THAW);
}

static void set_deadline(struct codec *codec, struct sandbox *sandbox)
{
	const struct frame *frame = &codec->frame;
	if (operation_start(codec, PURPOSE_ANSWER_NOTHING, OP_DEADLINE, sandbox->name, frame->timeout_ms, &frame->seq) == NULL)
		answer_error(codec, frame->seq, E_INTERNAL, EBUSY, "%d operations wait already", OPERATIONS_OF_REQUESTS_MAX);
}

static void destroy(struct codec *codec)
{
	const struct frame *frame = &codec->frame;
	struct sandbox *sandbox = table_find(&codec->table, frame->name);
	if (sandbox == NULL || sandbox->state == SANDBOX_GONE) {
		const uint64_t nothing_left[] = {0, 0};
		answer_ok(codec, frame->seq, nothing_left, 2);
		return;
	}
	if (!waiter_add(&sandbox->destroy_waiters, frame->seq)) {
		answer_error(codec, frame->seq, E_INTERNAL, ENOMEM, "too many wait for the end of %s", sandbox->name);
		return;
	}
	sandbox_destroy(codec, sandbox);
	if (!sandbox->destroying && !sandbox->destroy_wanted)
		complain("%s is destroyed a little later: too many operations wait", sandbox->name);
}

static void shut_down(struct codec *codec)
{
	codec->shutdown_ms = codec->now_ms;
	answer_ok(codec, codec->frame.seq, NULL, 0);
}

/* Requests that need a sandbox which stands and lives. */
static void handle_named(struct codec *codec)
{
	const struct frame *frame = &codec->frame;
	struct sandbox *sandbox = table_find(&codec->table, frame->name);
	if (sandbox == NULL || sandbox->state == SANDBOX_GONE) {
		answer_error(codec, frame->seq, E_NAME_UNKNOWN, 0, "no sandbox is named %s", frame->name);
		return;
	}
	if (frame->type == FRAME_EXEC) {
		exec_start(codec, sandbox);
		return;
	}
	if (frame->type == FRAME_RESIZE) {
		exec_resize(codec, sandbox);
		return;
	}
	bool known_dead = sandbox->state == SANDBOX_DEAD || sandbox->destroying;
	if (known_dead && frame->type == FRAME_KILL) {
		answer_ok(codec, frame->seq, NULL, 0);
		return;
	}
	bool early = sandbox->state == SANDBOX_CREATING && (frame->type == FRAME_KILL || frame->type == FRAME_SIGNAL);
	if (!early && (sandbox->state != SANDBOX_ALIVE || sandbox->destroying)) {
		answer_error(codec, frame->seq, known_dead ? E_SANDBOX_DEAD : E_NAME_UNKNOWN, 0, "%s %s", sandbox->name,
			     known_dead ? "is dead" : "does not stand yet");
		return;
	}
	switch ((unsigned int)frame->type) {
	case FRAME_SIGNAL: exec_signal(codec, sandbox); break;
	case FRAME_GRANT: grant_start(codec, sandbox); break;
	case FRAME_FREEZE: freeze(codec, sandbox, true); break;
	case FRAME_THAW: freeze(codec, sandbox, false); break;
	case FRAME_DEADLINE: set_deadline(codec, sandbox); break;
	case FRAME_KILL: kill_sandbox(codec, sandbox); break;
	case FRAME_STATS: start_operation(codec, sandbox, PURPOSE_ANSWER_STATS, OP_STATS); break;
	case FRAME_PROBE: probe(codec, sandbox); break;
	default: supervisor_violation(codec, "a frame that only the warden sends"); break;
	}
}

void request_handle(struct codec *codec)
{
	const struct frame *frame = &codec->frame;
	if (frame->refused != E_NONE) {
		answer_error(codec, frame->seq, frame->refused, frame->refused_errno, "%s%s%s", frame->refused_text,
			     frame->refused_errno != 0 ? ": " : "", frame->refused_errno != 0 ? strerror(frame->refused_errno) : "");
		return;
	}
	bool starts_something = frame->type == FRAME_CREATE || frame->type == FRAME_EXEC || frame->type == FRAME_GRANT;
	if (starts_something && codec->shutdown_ms != 0) {
		answer_error(codec, frame->seq, E_SHUTTING_DOWN, 0, "the warden ends");
		return;
	}
	switch ((unsigned int)frame->type) {
	case FRAME_HELLO: supervisor_violation(codec, "a second HELLO"); break;
	case FRAME_CREATE: sandbox_create(codec); break;
	case FRAME_DATA: exec_input_data(codec); break;
	case FRAME_ACK: exec_ack(codec); break;
	case FRAME_EXIT_ACK: exec_exit_ack(codec); break;
	case FRAME_CREDIT: exec_credit(codec); break;
	case FRAME_DESTROY: destroy(codec); break;
	case FRAME_LIST:
		answer_list(codec, frame->seq);
		grants_tell(codec);
		break;
	case FRAME_REVOKE: grant_revoke(codec); break;
	case FRAME_RENEW: break; /* the lease was renewed by its arrival */
	case FRAME_SHUTDOWN: shut_down(codec); break;
	default: handle_named(codec); break;
	}
}
