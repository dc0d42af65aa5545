/* Decodes what the supervisor sends. Pure. Strict: exact arity, exact types, every bound checked here. */
#include <errno.h>
#include <string.h>

#include "frame.h"

static void refuse(struct frame *frame, enum warden_error error, int sys_errno, const char *text)
{
	if (frame->refused != E_NONE)
		return;
	frame->refused = error;
	frame->refused_errno = sys_errno;
	frame->refused_text = text;
}

static bool is_name(struct msgpack_view view)
{
	if (view.size == 0 || view.size >= SESSION_NAME_SIZE || view.bytes[0] < 'a' || view.bytes[0] > 'z')
		return false;
	for (size_t index = 1; index < view.size; index++) {
		uint8_t byte = view.bytes[index];
		if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-'))
			return false;
	}
	return true;
}

/* A view that fits, as a C string. The buffer was zeroed. */
static void copy_text(char *target, struct msgpack_view view)
{
	memcpy(target, view.bytes, view.size);
	target[view.size] = '\0';
}

static void read_name(struct msgpack_reader *reader, struct frame *frame)
{
	struct msgpack_view view = msgpack_read_str(reader, 4096);
	if (is_name(view))
		copy_text(frame->name, view);
	else
		refuse(frame, E_NAME_INVALID, 0, "a session name is [a-z][a-z0-9-]{0,62}");
}

static uint32_t read_u32(struct msgpack_reader *reader)
{
	return (uint32_t)msgpack_read_uint(reader, UINT32_MAX);
}

static void read_seq_and_name(struct msgpack_reader *reader, struct frame *frame)
{
	frame->seq = read_u32(reader);
	read_name(reader, frame);
}

static void read_exec_id(struct msgpack_reader *reader, struct frame *frame)
{
	frame->exec_id = read_u32(reader);
	if (frame->exec_id == 0)
		reader->bad = true;
}

/* The streams that go to the process, or those that come from it; the tools channel is both. */
static void read_stream(struct msgpack_reader *reader, struct frame *frame, bool to_process)
{
	frame->stream = (uint32_t)msgpack_read_uint(reader, WIRE_TOOLS);
	if (frame->stream != WIRE_TOOLS && (frame->stream == WIRE_STDIN) != to_process)
		reader->bad = true;
}

static void read_hello(struct msgpack_reader *reader, struct frame *frame)
{
	frame->version = read_u32(reader);
	copy_text(frame->supervisor_id, msgpack_read_str(reader, SUPERVISOR_ID_SIZE - 1));
	frame->freeze_after_ms = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	frame->kill_after_ms = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
}

static void take_mount(struct frame *frame, struct mount_request *mount, struct msgpack_view source, struct msgpack_view target)
{
	if (source.size == 0 || source.size >= sizeof mount->source)
		refuse(frame, E_MOUNT_SOURCE_UNREADABLE, source.size == 0 ? ENOENT : ENAMETOOLONG, "the path of a mount's source");
	else if (target.size == 0 || target.size >= sizeof mount->target)
		refuse(frame, E_MOUNT_TARGET_INVALID, target.size == 0 ? ENOENT : ENAMETOOLONG, "the name of a mount's target");
	else if ((mount->mode == MOUNT_STAGED) != (mount->staged_bytes != 0))
		refuse(frame, E_SETUP_FAILED, EINVAL, "a staged mount, and no other, has a size");
	if (frame->refused != E_NONE)
		return;
	copy_text(mount->source, source);
	copy_text(mount->target, target);
}

static void read_mount(struct msgpack_reader *reader, struct frame *frame, struct mount_request *mount)
{
	if (msgpack_read_array(reader, 4) != 4)
		reader->bad = true;
	memset(mount, 0, sizeof *mount);
	struct msgpack_view source = msgpack_read_str(reader, FRAME_SIZE_MAX);
	struct msgpack_view target = msgpack_read_str(reader, FRAME_SIZE_MAX);
	mount->mode = (uint32_t)msgpack_read_uint(reader, MOUNT_STAGED);
	mount->staged_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	take_mount(frame, mount, source, target);
}

static void read_grant_id(struct msgpack_reader *reader, struct frame *frame, uint32_t first)
{
	frame->grant_id = read_u32(reader);
	if (frame->grant_id < first)
		reader->bad = true;
}

static void read_grant(struct msgpack_reader *reader, struct frame *frame, struct grant_request *grant)
{
	read_seq_and_name(reader, frame);
	read_grant_id(reader, frame, GRANT_ID_MIN);
	memset(grant, 0, sizeof *grant);
	memcpy(grant->name, frame->name, sizeof grant->name);
	grant->op = OP_GRANT;
	grant->grant_id = frame->grant_id;
	struct msgpack_view source = msgpack_read_str(reader, FRAME_SIZE_MAX);
	struct msgpack_view target = msgpack_read_str(reader, FRAME_SIZE_MAX);
	grant->mount.mode = (uint32_t)msgpack_read_uint(reader, MOUNT_STAGED);
	grant->ttl_ms = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	grant->mount.staged_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	take_mount(frame, &grant->mount, source, target);
}

static void read_create(struct msgpack_reader *reader, struct frame *frame, struct create_request *create)
{
	read_seq_and_name(reader, frame);
	memset(create, 0, offsetof(struct create_request, mounts));
	create->op = OP_CREATE;
	memcpy(create->name, frame->name, sizeof create->name);
	create->timeout_ms = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	create->limits.memory_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	create->limits.disk_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	create->limits.tmp_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	create->limits.disk_inodes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	create->limits.pids_max = read_u32(reader);
	create->limits.cpu_permille = read_u32(reader);
	create->limits.open_files_max = read_u32(reader);
	create->network = read_u32(reader);
	uint32_t count = msgpack_read_array(reader, FRAME_SIZE_MAX);
	if (count > MOUNTS_MAX)
		refuse(frame, E_LIMIT_MOUNTS, 0, "at most 16 mounts");
	struct mount_request beyond;
	for (uint32_t index = 0; index < count && !reader->bad; index++)
		read_mount(reader, frame, index < MOUNTS_MAX ? &create->mounts[index] : &beyond);
	create->mount_count = count <= MOUNTS_MAX ? count : 0;
	struct msgpack_view endpoint = msgpack_read_str(reader, FRAME_SIZE_MAX);
	if (endpoint.size >= sizeof create->endpoint || (endpoint.size > 0 && endpoint.bytes[0] != '/'))
		refuse(frame, E_SETUP_FAILED, EINVAL, "the endpoint is no absolute path of a socket");
	else
		copy_text(create->endpoint, endpoint);
	create->limits.disk_kind = (uint32_t)msgpack_read_uint(reader, DISK_KINDS - 1);
}

/* Appends the strings of an array to the blob, each with its NUL. */
static uint32_t read_strings(struct msgpack_reader *reader, struct frame *frame, uint8_t *blob)
{
	uint32_t count = msgpack_read_array(reader, FRAME_SIZE_MAX);
	if (count > ARGS_MAX)
		refuse(frame, E_EXEC_FAILED, E2BIG, "too many arguments or variables");
	for (uint32_t index = 0; index < count && !reader->bad; index++) {
		struct msgpack_view view = msgpack_read_str(reader, FRAME_SIZE_MAX);
		if (view.size + 1 > EXEC_BLOB_MAX - (size_t)frame->blob_size) {
			refuse(frame, E_EXEC_FAILED, E2BIG, "arguments and environment are too long");
			continue;
		}
		memcpy(blob + frame->blob_size, view.bytes, view.size);
		blob[frame->blob_size + view.size] = '\0';
		frame->blob_size += (uint32_t)view.size + 1;
	}
	return count;
}

static void read_exec(struct msgpack_reader *reader, struct frame *frame, uint8_t *blob)
{
	read_seq_and_name(reader, frame);
	read_exec_id(reader, frame);
	frame->exec_kind = (uint32_t)msgpack_read_uint(reader, EXEC_DIFF);
	frame->argc = read_strings(reader, frame, blob);
	frame->envc = read_strings(reader, frame, blob);
	if (frame->argc == 0)
		refuse(frame, E_EXEC_FAILED, EINVAL, "argv is empty");
	struct msgpack_view cwd = msgpack_read_str(reader, FRAME_SIZE_MAX);
	if (cwd.size >= sizeof frame->cwd)
		refuse(frame, E_EXEC_FAILED, ENAMETOOLONG, "the working directory");
	else
		copy_text(frame->cwd, cwd);
	frame->exec_flags = (uint32_t)msgpack_read_uint(reader, WIRE_EXEC_PTY | WIRE_EXEC_STDIN | WIRE_EXEC_TOOLS);
	frame->rows = read_u32(reader);
	frame->columns = read_u32(reader);
	frame->window_bytes = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
}

static void read_data(struct msgpack_reader *reader, struct frame *frame)
{
	read_name(reader, frame);
	read_exec_id(reader, frame);
	read_stream(reader, frame, true);
	frame->offset = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	frame->bytes = msgpack_read_bin(reader, FRAME_SIZE_MAX);
	frame->fin = msgpack_read_bool(reader);
}

static void read_signal_or_resize(struct msgpack_reader *reader, struct frame *frame)
{
	read_seq_and_name(reader, frame);
	if (frame->type == FRAME_SIGNAL) {
		frame->exec_id = read_u32(reader);
		frame->signal_number = (uint32_t)msgpack_read_uint(reader, 64);
		if (frame->signal_number == 0)
			reader->bad = true;
		return;
	}
	read_exec_id(reader, frame);
	frame->rows = (uint32_t)msgpack_read_uint(reader, UINT16_MAX);
	frame->columns = (uint32_t)msgpack_read_uint(reader, UINT16_MAX);
}

static void read_named_exec(struct msgpack_reader *reader, struct frame *frame)
{
	read_name(reader, frame);
	read_exec_id(reader, frame);
	if (frame->type == FRAME_EXIT_ACK)
		return;
	read_stream(reader, frame, false);
	uint64_t value = msgpack_read_uint(reader, MSGPACK_UINT_MAX);
	if (frame->type == FRAME_ACK)
		frame->offset = value;
	else
		frame->window_bytes = value;
}

/* Fields of each type of frame from the supervisor, its type included; 0: no such type. */
static const uint8_t field_counts[FRAME_REQUEST_LAST + 1] = {
	[FRAME_HELLO] = 5, [FRAME_CREATE] = 15, [FRAME_EXEC] = 12, [FRAME_DATA] = 7, [FRAME_ACK] = 5, [FRAME_SIGNAL] = 5,
	[FRAME_RESIZE] = 6, [FRAME_FREEZE] = 3, [FRAME_THAW] = 3, [FRAME_KILL] = 3, [FRAME_STATS] = 3, [FRAME_PROBE] = 3,
	[FRAME_DESTROY] = 3, [FRAME_LIST] = 2, [FRAME_EXIT_ACK] = 3, [FRAME_RENEW] = 1, [FRAME_CREDIT] = 5, [FRAME_SHUTDOWN] = 2,
	[FRAME_GRANT] = 9, [FRAME_REVOKE] = 4, [FRAME_DEADLINE] = 4,
};

bool frame_has_answer(enum frame_type type)
{
	return type != FRAME_DATA && type != FRAME_ACK && type != FRAME_EXIT_ACK && type != FRAME_RENEW && type != FRAME_CREDIT;
}

static void read_fields(struct msgpack_reader *reader, struct frame *frame, struct frame_scratch *scratch)
{
	switch ((unsigned int)frame->type) {
	case FRAME_HELLO: read_hello(reader, frame); break;
	case FRAME_CREATE: read_create(reader, frame, &scratch->create); break;
	case FRAME_EXEC: read_exec(reader, frame, scratch->blob); break;
	case FRAME_DATA: read_data(reader, frame); break;
	case FRAME_ACK: case FRAME_CREDIT: case FRAME_EXIT_ACK: read_named_exec(reader, frame); break;
	case FRAME_SIGNAL: case FRAME_RESIZE: read_signal_or_resize(reader, frame); break;
	case FRAME_LIST: case FRAME_SHUTDOWN: frame->seq = read_u32(reader); break;
	case FRAME_RENEW: break;
	case FRAME_GRANT: read_grant(reader, frame, &scratch->grant); break;
	case FRAME_DEADLINE:
		read_seq_and_name(reader, frame);
		frame->timeout_ms = read_u32(reader);
		break;
	case FRAME_REVOKE:
		read_seq_and_name(reader, frame);
		read_grant_id(reader, frame, 1);
		break;
	default: read_seq_and_name(reader, frame); break;
	}
}

bool frame_decode(struct frame *frame, struct frame_scratch *scratch, const void *data, size_t size)
{
	struct msgpack_reader reader;
	msgpack_read_start(&reader, data, size);
	/* cwd is set where it means something: clearing its 4 KiB for each frame would be the dearest step of most. */
	memset(frame, 0, offsetof(struct frame, cwd));
	frame->cwd[0] = '\0';
	frame->refused = E_NONE;
	frame->refused_errno = 0;
	frame->refused_text = "";
	uint32_t fields = msgpack_read_array(&reader, 16);
	uint32_t type = (uint32_t)msgpack_read_uint(&reader, FRAME_REQUEST_LAST);
	if (reader.bad || field_counts[type] == 0 || fields != field_counts[type])
		return false;
	frame->type = (enum frame_type)type;
	read_fields(&reader, frame, scratch);
	return msgpack_read_end(&reader) && (frame->refused == E_NONE || frame_has_answer(frame->type));
}
