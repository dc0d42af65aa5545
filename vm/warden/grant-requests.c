/* Grants as the codec sees them: GRANT through the broker, REVOKE to the zygote, and what is remembered of each.
 *
 * G1  A grant that stands is answered from its record: a second GRANT of its id opens nothing.
 * G2  The end of a grant stays told (LIST tells it again) until its sandbox is destroyed. */
#include <stdlib.h>
#include <string.h>

#include "codec-state.h"

static struct grant_record *find_record(const struct sandbox *sandbox, uint32_t grant_id)
{
	for (uint32_t index = 0; index < sandbox->grant_count; index++)
		if (sandbox->grants[index].id == grant_id)
			return &sandbox->grants[index];
	return NULL;
}

/* The record of this id, made if there is none; NULL: no memory. The zygote keeps their number below GRANTS_EVER_MAX. */
static struct grant_record *need_record(struct sandbox *sandbox, uint32_t grant_id)
{
	struct grant_record *record = find_record(sandbox, grant_id);
	if (record != NULL)
		return record;
	if (sandbox->grant_count == sandbox->grant_capacity) {
		uint32_t capacity = sandbox->grant_capacity == 0 ? 4 : 2 * sandbox->grant_capacity;
		struct grant_record *grown = realloc(sandbox->grants, capacity * sizeof *grown);
		if (grown == NULL)
			return NULL;
		sandbox->grants = grown;
		sandbox->grant_capacity = capacity;
	}
	record = &sandbox->grants[sandbox->grant_count++];
	*record = (struct grant_record){.id = grant_id};
	return record;
}

static void answer_granted(struct codec *codec, uint32_t seq, const struct grant_record *record)
{
	uint64_t values[] = {record->mount_id, record->flags};
	answer_ok(codec, seq, values, 2);
}

void grant_start(struct codec *codec, struct sandbox *sandbox)
{
	uint32_t seq = codec->frame.seq;
	struct grant_request *grant = &codec->scratch.grant;
	const struct grant_record *record = find_record(sandbox, grant->grant_id);
	if (record != NULL && record->ended) {
		answer_error(codec, seq, E_GRANT_ENDED, 0, "grant %u of %s ended", grant->grant_id, sandbox->name);
		return;
	}
	if (record != NULL) {
		answer_granted(codec, seq, record);
		return;
	}
	struct operation *operation = operation_start(codec, PURPOSE_GRANT, OP_GRANT, sandbox->name, 0, &seq);
	if (operation == NULL) {
		answer_error(codec, seq, E_INTERNAL, EBUSY, "%d operations wait already", OPERATIONS_OF_REQUESTS_MAX);
		return;
	}
	operation->grant_id = grant->grant_id;
	grant->seq = operation_ticket(codec, operation);
	packet_to_root(codec, &codec->broker, &codec->to_broker, grant, sizeof *grant);
}

void grant_revoke(struct codec *codec)
{
	const struct frame *frame = &codec->frame;
	const struct sandbox *sandbox = table_find(&codec->table, frame->name);
	const uint64_t nothing_killed[] = {0, 0};
	/* Its first process is reaped only after every other: whoever could hold a grant is gone. */
	if (sandbox == NULL || sandbox->state == SANDBOX_DEAD || sandbox->state == SANDBOX_GONE) {
		answer_ok(codec, frame->seq, nothing_killed, 2);
		return;
	}
	if (sandbox->state == SANDBOX_CREATING) {
		answer_error(codec, frame->seq, E_NAME_UNKNOWN, 0, "%s does not stand yet", sandbox->name);
		return;
	}
	struct operation *operation = operation_start(codec, PURPOSE_REVOKE, OP_REVOKE, sandbox->name, 0, &frame->seq);
	if (operation == NULL) {
		answer_error(codec, frame->seq, E_INTERNAL, EBUSY, "%d operations wait already", OPERATIONS_OF_REQUESTS_MAX);
		return;
	}
	operation->grant_id = frame->grant_id;
	struct op_request request = {.seq = operation_ticket(codec, operation), .op = OP_REVOKE, .grant_id = frame->grant_id};
	memcpy(request.name, operation->name, sizeof request.name);
	packet_to_root(codec, &codec->zygote, &codec->to_zygote, &request, sizeof request);
}

void grant_replied(struct codec *codec, const struct operation *operation, const struct op_reply *reply)
{
	struct sandbox *sandbox = table_find(&codec->table, operation->name);
	bool attached = operation->purpose == PURPOSE_GRANT && reply->error == E_NONE && sandbox != NULL && sandbox->state != SANDBOX_GONE;
	struct grant_record *record = attached ? need_record(sandbox, operation->grant_id) : NULL;
	if (record != NULL && !record->ended) {
		record->mount_id = reply->values[0];
		record->flags = (uint32_t)reply->values[1];
	}
	if (!operation_is_awaited(codec, operation))
		return;
	/* A second GRANT under way beside the first may fail where that one succeeded. */
	const struct grant_record *standing = operation->purpose == PURPOSE_GRANT && sandbox != NULL ? find_record(sandbox, operation->grant_id) : NULL;
	if (standing != NULL && !standing->ended)
		answer_granted(codec, operation->seq, standing);
	else if (reply->error != E_NONE)
		answer_error(codec, operation->seq, (enum warden_error)reply->error, reply->sys_errno, "%.*s", DETAIL_SIZE, reply->detail);
	else if (standing != NULL)
		answer_error(codec, operation->seq, E_GRANT_ENDED, 0, "grant %u of %s ended", operation->grant_id, operation->name);
	else
		answer_ok(codec, operation->seq, reply->values, 2);
}

static void tell_ended(struct codec *codec, const char *name, const struct grant_ended_notice *end)
{
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_grant_ended(space, FRAME_CONTROL_SIZE_MAX, name, end));
}

void grant_ended(struct codec *codec, const struct grant_ended_notice *end)
{
	struct sandbox *sandbox = table_find(&codec->table, end->name);
	if (sandbox == NULL || sandbox->state == SANDBOX_GONE)
		return;
	struct grant_record *record = need_record(sandbox, end->grant_id);
	if (record == NULL)
		complain("no memory for the end of grant %u of %s: it is told once", end->grant_id, sandbox->name);
	else if (record->ended)
		return;
	if (record != NULL) {
		record->ended = true;
		record->end = *end;
	}
	tell_ended(codec, sandbox->name, end);
}

void grants_tell(struct codec *codec)
{
	for (const struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
		for (uint32_t index = 0; index < sandbox->grant_count; index++)
			if (sandbox->grants[index].ended)
				tell_ended(codec, sandbox->name, &sandbox->grants[index].end);
}
