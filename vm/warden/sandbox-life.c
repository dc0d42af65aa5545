/* The life of a sandbox as the codec sees it: CREATE, its init's socket, death, DESTROY, and its last records.
 *
 * creating → alive → dead → (destroyed) gone → removed. DESTROY may come in any state and is answered only with the proof. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "codec-state.h"

enum { INIT_LOST_MS = 1000, DESTROY_RETRY_MS = 5000 };

void sandbox_create(struct codec *codec)
{
	uint32_t seq = codec->frame.seq;
	struct create_request *create = &codec->scratch.create;
	struct sandbox *sandbox = table_find(&codec->table, codec->frame.name);
	if (sandbox != NULL && sandbox->state == SANDBOX_GONE) {
		/* Its records of an earlier life: who takes the name anew has no use for them. */
		table_remove(&codec->table, sandbox);
		sandbox = NULL;
	}
	if (sandbox != NULL) {
		bool lives = !sandbox->destroying && !sandbox->destroy_wanted;
		if (lives && sandbox->state == SANDBOX_ALIVE)
			answer_created(codec, seq, sandbox);
		else if (!lives || sandbox->state != SANDBOX_CREATING)
			answer_error(codec, seq, E_SANDBOX_DEAD, 0, "%s is dead and not destroyed yet", sandbox->name);
		else if (!waiter_add(&sandbox->create_waiters, seq))
			answer_error(codec, seq, E_INTERNAL, ENOMEM, "too many wait for %s", sandbox->name);
		return;
	}
	if (codec->table.count >= SANDBOXES_MAX) {
		answer_error(codec, seq, E_LIMIT_SANDBOXES, 0, "%d sandboxes stand already", SANDBOXES_MAX);
		return;
	}
	sandbox = table_add(&codec->table, codec->frame.name);
	struct operation *operation = NULL;
	if (sandbox != NULL && waiter_add(&sandbox->create_waiters, seq))
		operation = operation_start(codec, PURPOSE_CREATE, 0, codec->frame.name, 0, NULL);
	if (operation == NULL) {
		answer_error(codec, seq, E_INTERNAL, ENOMEM, "%s cannot be created now", codec->frame.name);
		if (sandbox != NULL)
			table_remove(&codec->table, sandbox);
		return;
	}
	create->seq = operation_ticket(codec, operation);
	/* Only what needs something of the host goes by way of the broker. */
	bool direct = create->mount_count == 0 && create->network == 0 && create->limits.disk_kind == DISK_TMPFS;
	struct packet_queue *queue = direct ? &codec->to_zygote : &codec->to_broker;
	if (packet_send(queue, create, create_request_size(create->mount_count), NULL, 0) < 0)
		die_errno("the %s does not take a request", direct ? "zygote" : "broker");
	codec_watch(codec, direct ? &codec->zygote : &codec->broker, EPOLLIN | (queue->count > 0 ? EPOLLOUT : 0u));
}

static void answer_all(struct codec *codec, struct waiter **waiters, enum warden_error error, int sys_errno, const char *detail)
{
	for (const struct waiter *waiter = *waiters; waiter != NULL; waiter = waiter->next)
		answer_error(codec, waiter->seq, error, sys_errno, "%.*s", DETAIL_SIZE, detail);
	waiters_free(waiters);
}

static void answer_destroyed(struct codec *codec, struct sandbox *sandbox)
{
	const uint64_t nothing_left[] = {0, 0};
	for (const struct waiter *waiter = sandbox->destroy_waiters; waiter != NULL; waiter = waiter->next)
		answer_ok(codec, waiter->seq, nothing_left, 2);
	waiters_free(&sandbox->destroy_waiters);
}

static void creation_failed(struct codec *codec, struct sandbox *sandbox, enum warden_error error, int sys_errno, const char *detail)
{
	answer_all(codec, &sandbox->create_waiters, error, sys_errno, detail);
	for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next)
		answer_all(codec, &exec->waiters, error, sys_errno, detail);
	answer_destroyed(codec, sandbox);
	table_remove(&codec->table, sandbox);
}

static void undo_creation(struct codec *codec, struct sandbox *sandbox, enum warden_error error, int sys_errno, const char *detail)
{
	operation_start(codec, PURPOSE_END_SANDBOX, OP_DESTROY, sandbox->name, DEATH_ASKED, NULL);
	creation_failed(codec, sandbox, error, sys_errno, detail);
}

static void missing_layers(char *text, size_t size, uint32_t layers)
{
	snprintf(text, size, "missing:");
	for (size_t layer = 0; layer < LAYER_COUNT; layer++)
		if ((layers & (1u << layer)) == 0)
			append_text(text, size, " %s", layer_names[layer]);
}

static void stands(struct codec *codec, struct sandbox *sandbox, const struct create_reply *reply, int init_fd)
{
	sandbox->state = SANDBOX_ALIVE;
	sandbox->uid = reply->uid;
	sandbox->init_pid = reply->init_pid;
	sandbox->layers = reply->layers;
	sandbox->init_watch.fd = init_fd;
	sandbox->to_init.socket_fd = init_fd;
	bool blocks = fcntl(init_fd, F_SETFL, O_NONBLOCK) < 0;
	if (blocks || packet_flush(&sandbox->to_init) < 0 || !codec_watch(codec, &sandbox->init_watch, EPOLLIN | (sandbox->to_init.count > 0 ? EPOLLOUT : 0u)))
		sandbox_end(codec, sandbox, "the socket of its init cannot be used");
	for (const struct waiter *waiter = sandbox->create_waiters; waiter != NULL; waiter = waiter->next)
		answer_created(codec, waiter->seq, sandbox);
	waiters_free(&sandbox->create_waiters);
	if (sandbox->destroy_wanted || codec->lease.state == LEASE_EXPIRED)
		sandbox_destroy(codec, sandbox);
	else if (sandbox->kill_wanted)
		operation_start(codec, PURPOSE_END_SANDBOX, OP_KILL, sandbox->name, DEATH_ASKED, NULL);
	else if (codec->lease.state == LEASE_FROZEN)
		operation_start(codec, PURPOSE_LEASE, OP_FREEZE_ALL, "", 0, NULL);
}

void sandbox_created(struct codec *codec, const struct create_reply *reply, int init_fd)
{
	struct sandbox *sandbox = table_find(&codec->table, reply->name);
	if (sandbox == NULL || sandbox->state != SANDBOX_CREATING)
		die("an answer to CREATE came for %s, which was not asked for", reply->name);
	if (reply->error == E_NONE && init_fd >= 0 && (reply->layers & LAYERS_ALL) == LAYERS_ALL) {
		stands(codec, sandbox, reply, init_fd);
		return;
	}
	close_fd(&init_fd);
	char detail[DETAIL_SIZE];
	missing_layers(detail, sizeof detail, reply->layers);
	if (reply->error == E_NONE && (reply->layers & LAYERS_ALL) != LAYERS_ALL)
		undo_creation(codec, sandbox, E_LAYER_MISSING, 0, detail);
	else if (reply->error == E_NONE || reply->sys_errno == ETIMEDOUT)
		undo_creation(codec, sandbox, E_SETUP_FAILED, reply->sys_errno, reply->error == E_NONE ? "its init's socket did not come" : reply->detail);
	else
		creation_failed(codec, sandbox, (enum warden_error)reply->error, reply->sys_errno, reply->detail);
}

static uint32_t flags_of_death(uint32_t reason)
{
	return reason == DEATH_DEADLINE ? EXIT_DEADLINE : reason == DEATH_LEASE ? EXIT_LEASE : reason == DEATH_OOM ? EXIT_OOM : 0;
}

void sandbox_died(struct codec *codec, struct sandbox *sandbox, uint32_t reason, uint64_t oom_kills, const char *detail)
{
	if (sandbox->state != SANDBOX_ALIVE)
		return;
	/* What its init said before it died counts: an exit that was reported is an exit. */
	init_drain(codec, sandbox);
	sandbox->state = SANDBOX_DEAD;
	sandbox->death_flags |= flags_of_death(reason) | (oom_kills > sandbox->oom_kills_seen ? EXIT_OOM : 0u);
	init_close(codec, sandbox);
	for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next) {
		answer_all(codec, &exec->waiters, E_SANDBOX_DEAD, 0, "the sandbox died before the process was started");
		exec_sandbox_died(codec, exec, reason);
	}
	if (!sandbox->destroying)
		tell_died(codec, sandbox, reason, detail);
}

void sandbox_destroy(struct codec *codec, struct sandbox *sandbox)
{
	sandbox->ending = true;
	if (sandbox->state == SANDBOX_CREATING)
		sandbox->destroy_wanted = true;
	if (sandbox->state == SANDBOX_CREATING || sandbox->destroying)
		return;
	sandbox->destroying = operation_start(codec, PURPOSE_DESTROY, OP_DESTROY, sandbox->name, DEATH_ASKED, NULL) != NULL;
	sandbox->destroy_retry_ms = sandbox->destroying ? 0 : codec->now_ms + DESTROY_RETRY_MS;
}

void sandbox_destroyed(struct codec *codec, struct sandbox *sandbox, const struct op_reply *reply)
{
	bool unknown = reply->error == E_NAME_UNKNOWN;
	if (!unknown && (reply->error != E_NONE || reply->values[0] != 0 || reply->values[1] != 0)) {
		sandbox->destroying = false;
		sandbox->destroy_retry_ms = sandbox->destroy_waiters == NULL ? codec->now_ms + DESTROY_RETRY_MS : 0;
		complain("%s is not destroyed yet: %.*s", sandbox->name, DETAIL_SIZE, reply->detail);
		enum warden_error error = reply->error != E_NONE ? (enum warden_error)reply->error : E_INTERNAL;
		answer_all(codec, &sandbox->destroy_waiters, error, reply->sys_errno, reply->detail);
		return;
	}
	sandbox_died(codec, sandbox, DEATH_ASKED, 0, "destroyed");
	answer_destroyed(codec, sandbox);
	table_set_gone(&codec->table, sandbox, codec->now_ms);
	sandbox_settle(codec, sandbox);
}

void sandbox_end(struct codec *codec, struct sandbox *sandbox, const char *why)
{
	if (sandbox->ending)
		return;
	sandbox->ending = true;
	complain("%s is killed: %s", sandbox->name, why);
	tell_event(codec, sandbox->name, "ended", why);
	operation_start(codec, PURPOSE_END_SANDBOX, OP_KILL, sandbox->name, DEATH_ITSELF, NULL);
}

void sandbox_settle(struct codec *codec, struct sandbox *sandbox)
{
	if (sandbox->state == SANDBOX_GONE && sandbox->exec_count == 0)
		table_remove(&codec->table, sandbox);
}

static void tick(struct codec *codec, struct sandbox *sandbox)
{
	uint64_t now_ms = codec->now_ms;
	denials_tick(codec, sandbox);
	if (sandbox->state == SANDBOX_ALIVE && sandbox->init_lost_ms != 0 && now_ms >= sandbox->init_lost_ms + INIT_LOST_MS)
		sandbox_end(codec, sandbox, "its init closed its socket");
	if (sandbox->destroy_retry_ms != 0 && now_ms >= sandbox->destroy_retry_ms)
		sandbox_destroy(codec, sandbox);
	if (sandbox->state != SANDBOX_GONE)
		return;
	if (codec->table.gone_count <= GONE_MAX && now_ms < sandbox->gone_ms + GONE_AGE_MS)
		return;
	complain("%u exit records of %s were not acknowledged and are dropped", sandbox->exec_count, sandbox->name);
	table_remove(&codec->table, sandbox);
}

void sandboxes_tick(struct codec *codec)
{
	struct sandbox *next = NULL;
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = next) {
		next = sandbox->next;
		tick(codec, sandbox);
	}
}
