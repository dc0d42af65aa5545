/* How an exec starts and ends as its init tells it, and the exit record that comes of it.
 *
 * X1  Each exec that was handed over gets exactly one exit record; once FINISHED it does not change.
 * X2  FINISHED = reaped (or never started, or its sandbox died), its streams ended, the flags known. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "codec-state.h"

static void set_detail(struct exec *exec, const char *detail)
{
	snprintf(exec->exit.detail, sizeof exec->exit.detail, "%s", detail);
}

void exec_settle(struct codec *codec, struct exec *exec)
{
	if (exec->state != EXEC_REAPED || exec->stats_asked || exec->denials_until_ms != 0)
		return;
	for (size_t index = 0; index < OUT_COUNT; index++)
		if (!exec->out[index].ended)
			return;
	exec->state = EXEC_FINISHED;
	output_make_ready(codec, exec->sandbox);
}

static void reaped(struct codec *codec, struct exec *exec)
{
	exec->state = EXEC_REAPED;
	for (size_t index = 0; index < IN_COUNT; index++)
		exec_input_close(codec, exec, index);
	exec_drain(codec, exec);
	exec_settle(codec, exec);
}

static void not_started(struct codec *codec, struct exec *exec, const struct init_message *message)
{
	enum warden_error error = (enum warden_error)message->error;
	for (const struct waiter *waiter = exec->waiters; waiter != NULL; waiter = waiter->next)
		answer_error(codec, waiter->seq, error, message->sys_errno, "%s", message->detail);
	exec->exit.cause = error == E_LAYER_MISSING ? CAUSE_LAYER_MISSING : CAUSE_NOT_STARTED;
	set_detail(exec, message->detail);
	reaped(codec, exec);
}

void exec_started(struct codec *codec, struct exec *exec, const struct init_message *message)
{
	/* The limits of the cgroup are the one layer that cannot be seen from inside. */
	const uint32_t seen_inside = LAYERS_ALL & ~(1u << LAYER_CGROUP_LIMITS);
	if (message->error == E_NONE && (message->layers & seen_inside) != seen_inside) {
		/* It says that it runs something without a layer: then nothing it says is worth anything. */
		sandbox_end(codec, exec->sandbox, "its init started a process without all layers");
		return;
	}
	if (message->error != E_NONE) {
		not_started(codec, exec, message);
	} else {
		exec->state = EXEC_RUNNING;
		for (const struct waiter *waiter = exec->waiters; waiter != NULL; waiter = waiter->next)
			answer_ok(codec, waiter->seq, NULL, 0);
	}
	waiters_free(&exec->waiters);
}

static void ask_for_stats(struct codec *codec, struct exec *exec)
{
	struct operation *operation = operation_start(codec, PURPOSE_EXIT_STATS, OP_STATS, exec->sandbox->name, 0, NULL);
	if (operation == NULL)
		return; /* only the flags will be missing */
	operation->exec_id = exec->id;
	exec->stats_asked = true;
}

void exec_exited(struct codec *codec, struct exec *exec, const struct init_message *message)
{
	int status = message->wait_status;
	exec->exit = (struct exit_record){
		.cause = WIFSIGNALED(status) ? CAUSE_SIGNALED : CAUSE_EXITED,
		.code = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0,
		.signal_number = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
		.wall_us = message->wall_us, .user_us = message->user_us,
		.system_us = message->system_us, .max_rss_kib = message->max_rss_kib,
	};
	exec->exit.flags |= message->out_is_empty != 0 ? EXIT_OUT_EMPTY : 0u;
	/* Disk, inodes, /tmp, a staged layer: bits 5 to 8. */
	exec->exit.flags |= (message->full & (FULL_DISK | FULL_INODES | FULL_TMP | FULL_STAGED)) << EXIT_FULL_SHIFT;
	set_detail(exec, message->detail);
	denials_ask(codec, exec);
	/* A process that ended well was not hurt by a limit: most exits cost no question. */
	if (status != 0)
		ask_for_stats(codec, exec);
	reaped(codec, exec);
}

void exec_stats_reply(struct codec *codec, struct sandbox *sandbox, uint32_t exec_id, const struct op_reply *reply)
{
	struct exec *exec = exec_find(sandbox, exec_id);
	if (exec == NULL || !exec->stats_asked)
		return;
	exec->stats_asked = false;
	if (reply->error == E_NONE) {
		sandbox->oom_kills_seen = reply->values[4];
		sandbox->pids_refused_seen = reply->values[5];
		exec->exit.flags |= reply->values[4] > exec->oom_kills_before ? EXIT_OOM : 0u;
		exec->exit.flags |= reply->values[5] > exec->pids_refused_before ? EXIT_PIDS_LIMIT : 0u;
	}
	if (exec->exit.cause == CAUSE_SIGNALED)
		exec->exit.flags |= sandbox->death_flags;
	exec_settle(codec, exec);
}

void exec_sandbox_died(struct codec *codec, struct exec *exec, uint32_t reason)
{
	const struct sandbox *sandbox = exec->sandbox;
	if (exec->state == EXEC_REAPED || exec->state == EXEC_FINISHED)
		return;
	bool by_warden = (sandbox->death_flags & (EXIT_DEADLINE | EXIT_LEASE)) != 0;
	exec->exit = (struct exit_record){
		.cause = by_warden ? CAUSE_SIGNALED : CAUSE_SANDBOX_DIED,
		.signal_number = by_warden ? SIGKILL : 0,
		.flags = sandbox->death_flags,
		.wall_us = boot_us() - exec->started_us,
	};
	set_detail(exec, by_warden ? "killed by the warden" : reason == DEATH_ASKED ? "killed on request" : "the sandbox died");
	reaped(codec, exec);
}
