/* Operations under way at the broker and the zygote, and what comes back from them.
 *
 * N1  Each slot is in use by one operation; its ticket (round and index) is the seq of the packet.
 * N2  Each operation ends: by its reply, or by its deadline.
 * N3  Requests of the supervisor hold at most OPERATIONS_OF_REQUESTS_MAX slots; the codec's own always find one. */
#include <string.h>
#include <sys/epoll.h>

#include "codec-state.h"

enum { CREATE_MS = 60000, PROBE_MS = 10000, OPERATION_MS = 30000 };

uint32_t operation_ticket(const struct codec *codec, const struct operation *operation)
{
	return operation->round * OPERATIONS_MAX + (uint32_t)(operation - codec->operations);
}

static struct operation *find(struct codec *codec, uint32_t ticket)
{
	struct operation *operation = &codec->operations[ticket % OPERATIONS_MAX];
	return operation->purpose != PURPOSE_NONE && operation_ticket(codec, operation) == ticket ? operation : NULL;
}

static struct operation *free_slot(struct codec *codec)
{
	if (codec->operations_count >= OPERATIONS_MAX)
		return NULL;
	for (;;) {
		struct operation *operation = &codec->operations[codec->operations_next++ % OPERATIONS_MAX];
		if (operation->purpose == PURPOSE_NONE)
			return operation;
	}
}

static void finish(struct codec *codec, struct operation *operation)
{
	if (operation->link_round != 0)
		codec->operations_of_requests--;
	codec->operations_count--;
	operation->purpose = PURPOSE_NONE;
}

static uint64_t time_allowed_ms(enum operation_purpose purpose)
{
	if (purpose == PURPOSE_CREATE || purpose == PURPOSE_GRANT)
		return CREATE_MS;
	return purpose == PURPOSE_ANSWER_PROBE ? PROBE_MS : OPERATION_MS;
}

static void operation_send(struct codec *codec, const struct operation *operation, uint32_t reason)
{
	struct op_request request = {.seq = operation_ticket(codec, operation), .op = operation->op, .reason = reason};
	memcpy(request.name, operation->name, sizeof request.name);
	packet_to_root(codec, &codec->zygote, &codec->to_zygote, &request, sizeof request);
}

struct operation *operation_start(struct codec *codec, enum operation_purpose purpose, uint32_t op, const char *name, uint32_t reason,
				  const uint32_t *seq)
{
	if (seq != NULL && codec->operations_of_requests >= OPERATIONS_OF_REQUESTS_MAX)
		return NULL;
	struct operation *operation = free_slot(codec);
	if (operation == NULL)
		return NULL;
	*operation = (struct operation){
		.purpose = purpose, .round = operation->round + 1, .op = op,
		.link_round = seq != NULL ? codec->link_round : 0, .seq = seq != NULL ? *seq : 0,
		.deadline_ms = codec->now_ms + time_allowed_ms(purpose),
	};
	memcpy(operation->name, name, strnlen(name, sizeof operation->name - 1));
	codec->operations_count++;
	if (seq != NULL)
		codec->operations_of_requests++;
	/* A probe is sent when the inside has answered: what the init was told before, its own limits too, is done then. */
	if (purpose != PURPOSE_CREATE && purpose != PURPOSE_GRANT && purpose != PURPOSE_REVOKE && purpose != PURPOSE_ANSWER_PROBE)
		operation_send(codec, operation, reason);
	return operation;
}

void packet_to_root(struct codec *codec, struct watch *watch, struct packet_queue *queue, const void *packet, size_t size)
{
	/* The two are the warden: without one there is nothing left to serve, and the broker cleans up behind us. */
	if (packet_send(queue, packet, size, NULL, 0) < 0)
		die_errno("the root half of the warden takes no request");
	codec_watch(codec, watch, EPOLLIN | (queue->count > 0 ? EPOLLOUT : 0u));
}

bool operation_is_awaited(const struct codec *codec, const struct operation *operation)
{
	return operation->link_round == codec->link_round && codec->supervisor != NULL;
}

static void answer_probe(struct codec *codec, struct operation *operation, uint32_t outside)
{
	uint64_t values[] = {operation->inside, outside};
	if (operation_is_awaited(codec, operation))
		answer_ok(codec, operation->seq, values, 2);
	finish(codec, operation);
}

void probe_inside(struct codec *codec, const struct sandbox *sandbox, uint32_t layers)
{
	struct operation *oldest = NULL;
	for (size_t index = 0; index < OPERATIONS_MAX; index++) {
		struct operation *operation = &codec->operations[index];
		if (operation->purpose != PURPOSE_ANSWER_PROBE || operation->inside_known || strcmp(operation->name, sandbox->name) != 0)
			continue;
		if (oldest == NULL || operation->deadline_ms < oldest->deadline_ms)
			oldest = operation;
	}
	if (oldest == NULL)
		return; /* its deadline has passed */
	oldest->inside = layers;
	oldest->inside_known = true;
	operation_send(codec, oldest, 0);
}

static void answer_reply(struct codec *codec, struct operation *operation, const struct op_reply *reply)
{
	if (reply->error != E_NONE) {
		if (operation_is_awaited(codec, operation))
			answer_error(codec, operation->seq, (enum warden_error)reply->error, reply->sys_errno, "%.*s", DETAIL_SIZE, reply->detail);
		finish(codec, operation);
		return;
	}
	if (operation->purpose == PURPOSE_ANSWER_PROBE) {
		answer_probe(codec, operation, (uint32_t)reply->values[0]);
		return;
	}
	if (operation_is_awaited(codec, operation))
		answer_ok(codec, operation->seq, reply->values, operation->purpose == PURPOSE_ANSWER_STATS ? 7 : 0);
	finish(codec, operation);
}

static void handle_op_reply(struct codec *codec, const struct op_reply *reply)
{
	struct operation *operation = find(codec, reply->seq);
	if (operation == NULL)
		return; /* answered by its deadline already */
	struct sandbox *sandbox = table_find(&codec->table, operation->name);
	enum operation_purpose purpose = operation->purpose;
	uint32_t exec_id = operation->exec_id;
	if (purpose == PURPOSE_ANSWER_NOTHING || purpose == PURPOSE_ANSWER_STATS || purpose == PURPOSE_ANSWER_PROBE) {
		answer_reply(codec, operation, reply);
		return;
	}
	if (purpose == PURPOSE_GRANT || purpose == PURPOSE_REVOKE)
		grant_replied(codec, operation, reply);
	finish(codec, operation);
	if (purpose == PURPOSE_EXIT_STATS && sandbox != NULL)
		exec_stats_reply(codec, sandbox, exec_id, reply);
	else if (purpose == PURPOSE_DESTROY && sandbox != NULL)
		sandbox_destroyed(codec, sandbox, reply);
	else if (purpose == PURPOSE_LEASE_KILL)
		lease_killed(codec);
	else if (reply->error != E_NONE && purpose != PURPOSE_GRANT && purpose != PURPOSE_REVOKE)
		complain("operation %u on %s: %.*s", reply->op, reply->name, DETAIL_SIZE, reply->detail);
}

static void handle_create_reply(struct codec *codec, const struct create_reply *reply, int init_fd)
{
	struct operation *operation = find(codec, reply->seq);
	if (operation == NULL || operation->purpose != PURPOSE_CREATE) {
		/* Nobody knows it any more, so nobody else would end it. */
		complain("the answer to CREATE of %s came too late", reply->name);
		close_fd(&init_fd);
		if (reply->error == E_NONE)
			operation_start(codec, PURPOSE_END_SANDBOX, OP_DESTROY, reply->name, DEATH_ASKED, NULL);
		return;
	}
	finish(codec, operation);
	sandbox_created(codec, reply, init_fd);
}

/* One packet of the broker or the zygote; false when there is none now. */
static bool receive_one(struct codec *codec, int fd)
{
	union {
		uint32_t kind;
		struct create_reply create;
		struct op_reply op;
		struct died_notice died;
		struct grant_ended_notice grant_ended;
	} packet;
	int init_fd = -1;
	size_t fd_count = 0;
	ssize_t size = receive_packet(fd, &packet, sizeof packet, &init_fd, 1, &fd_count);
	if (size < 0 && errno == EAGAIN)
		return false;
	if (size < 0 && errno == EBADMSG) {
		/* No descriptor was free for the socket of an init; its CREATE ends by its deadline. */
		complain("an answer without its descriptor came");
		return true;
	}
	if (size <= 0)
		die_errno("the root half of the warden is gone");
	if (size == sizeof packet.create && packet.kind == FROM_CREATE_REPLY) {
		handle_create_reply(codec, &packet.create, init_fd);
		return true;
	}
	close_fd(&init_fd);
	if (size == sizeof packet.op && packet.kind == FROM_OP_REPLY) {
		handle_op_reply(codec, &packet.op);
	} else if (size == sizeof packet.died && packet.kind == FROM_DIED) {
		struct sandbox *sandbox = table_find(&codec->table, packet.died.name);
		packet.died.detail[DETAIL_SIZE - 1] = '\0';
		if (sandbox != NULL)
			sandbox_died(codec, sandbox, packet.died.reason, packet.died.oom_kills, packet.died.detail);
	} else if (size == sizeof packet.grant_ended && packet.kind == FROM_GRANT_ENDED) {
		grant_ended(codec, &packet.grant_ended);
	} else {
		die("the root half of the warden sent a packet of %zd bytes and kind %u", size, packet.kind);
	}
	return true;
}

enum { PACKETS_PER_ROUND = 64 };

void zygote_event(struct codec *codec, uint32_t events)
{
	for (size_t round = 0; (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && round < PACKETS_PER_ROUND; round++)
		if (!receive_one(codec, codec->zygote.fd))
			break;
	if (packet_flush(&codec->to_zygote) < 0)
		die_errno("the zygote does not take operations");
	codec_watch(codec, &codec->zygote, EPOLLIN | (codec->to_zygote.count > 0 ? EPOLLOUT : 0u));
}

void broker_event(struct codec *codec, uint32_t events)
{
	for (size_t round = 0; (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && round < PACKETS_PER_ROUND; round++)
		if (!receive_one(codec, codec->broker.fd))
			break;
	if (packet_flush(&codec->to_broker) < 0)
		die_errno("the broker does not take requests");
	codec_watch(codec, &codec->broker, EPOLLIN | (codec->to_broker.count > 0 ? EPOLLOUT : 0u));
}

/* The same ends as a reply with an error: who waits is told, what was asked for is known to be unknown. */
static void expire(struct codec *codec, struct operation *operation)
{
	if (operation->purpose == PURPOSE_CREATE) {
		struct create_reply reply = {.error = E_SETUP_FAILED, .sys_errno = ETIMEDOUT, .detail = "no answer to CREATE in time"};
		memcpy(reply.name, operation->name, sizeof reply.name);
		finish(codec, operation);
		sandbox_created(codec, &reply, -1);
		return;
	}
	struct op_reply reply = {.seq = operation_ticket(codec, operation), .op = operation->op, .error = E_INTERNAL, .sys_errno = ETIMEDOUT};
	memcpy(reply.name, operation->name, sizeof reply.name);
	memcpy(reply.detail, "no answer in time", sizeof "no answer in time");
	handle_op_reply(codec, &reply);
}

void operations_tick(struct codec *codec)
{
	for (size_t index = 0; codec->operations_count > 0 && index < OPERATIONS_MAX; index++) {
		struct operation *operation = &codec->operations[index];
		if (operation->purpose != PURPOSE_NONE && codec->now_ms >= operation->deadline_ms)
			expire(codec, operation);
	}
}
