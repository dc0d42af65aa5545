/* Frames of docs/design/wire.md: from bytes into one struct, and from values into bytes. Pure. */
#ifndef COHORT_FRAME_H
#define COHORT_FRAME_H

#include "ipc.h"
#include "msgpack.h"

enum {
	FRAME_HEADER_SIZE = 4,
	FRAME_SIZE_MAX = 1048576,       /* without the header */
	FRAME_DATA_BYTES = 64 * 1024,   /* payload of a DATA that we send */
	FRAME_CONTROL_SIZE_MAX = 2048,  /* any frame that we send but DATA and the answer to LIST, header included */
	WIRE_VERSION = 2,
	SUPERVISOR_ID_SIZE = 128,
};

enum frame_type {
	FRAME_HELLO = 1, FRAME_CREATE, FRAME_EXEC, FRAME_DATA, FRAME_ACK, FRAME_SIGNAL, FRAME_RESIZE, FRAME_FREEZE, FRAME_THAW,
	FRAME_KILL, FRAME_STATS, FRAME_PROBE, FRAME_DESTROY, FRAME_LIST, FRAME_EXIT_ACK, FRAME_RENEW, FRAME_CREDIT, FRAME_SHUTDOWN,
	FRAME_GRANT, FRAME_REVOKE, FRAME_DEADLINE, FRAME_REQUEST_LAST = FRAME_DEADLINE,
	FRAME_HELLO_OK = 65, FRAME_OK, FRAME_ERROR, FRAME_EXIT, FRAME_DIED, FRAME_EVENT, FRAME_GRANT_ENDED, FRAME_DENIED,
};

enum wire_exec_flag { WIRE_EXEC_PTY = 1, WIRE_EXEC_STDIN = 2, WIRE_EXEC_TOOLS = 4 };
enum wire_stream { WIRE_STDIN, WIRE_STDOUT, WIRE_STDERR, WIRE_TOOLS };
enum exit_cause { CAUSE_EXITED, CAUSE_SIGNALED, CAUSE_NOT_STARTED, CAUSE_SANDBOX_DIED, CAUSE_LAYER_MISSING };
enum exit_flag { EXIT_OOM = 1, EXIT_PIDS_LIMIT = 2, EXIT_DEADLINE = 4, EXIT_LEASE = 8, EXIT_OUT_EMPTY = 16, EXIT_FULL_SHIFT = 5 };

/* Where the large requests are decoded to; one of it serves a whole codec. */
struct frame_scratch {
	struct create_request create;
	struct grant_request grant;
	uint8_t blob[EXEC_BLOB_MAX];
};

/* One decoded frame; only the fields of its type mean something. Views point into the frame's bytes. */
struct frame {
	enum frame_type type;
	uint32_t seq;
	char name[SESSION_NAME_SIZE];
	uint32_t exec_id;
	uint32_t grant_id;
	uint32_t stream;
	uint64_t offset;
	struct msgpack_view bytes;
	bool fin;
	uint64_t window_bytes;
	uint32_t signal_number;
	uint32_t timeout_ms;
	uint32_t rows, columns;
	uint32_t version;
	char supervisor_id[SUPERVISOR_ID_SIZE];
	uint64_t freeze_after_ms, kill_after_ms;
	uint32_t exec_kind, exec_flags, argc, envc, blob_size;
	char cwd[MOUNT_SOURCE_SIZE];
	/* The frame keeps the rules, but what it asks for cannot be: answer ERROR and go on. */
	enum warden_error refused;
	int refused_errno;
	const char *refused_text;
};

/* False: the frame breaks a rule, and the connection must close. */
bool frame_decode(struct frame *frame, struct frame_scratch *scratch, const void *data, size_t size);
/* Does an OK or ERROR answer this type? */
bool frame_has_answer(enum frame_type type);

struct exit_record {
	enum exit_cause cause;
	uint32_t code, signal_number, flags;
	uint64_t wall_us, user_us, system_us, max_rss_kib;
	char detail[DETAIL_SIZE];
};

struct hello_answer {
	const char *warden_id, *binary_sha256;
	const char *const *features;
	uint32_t features_count;
	uint64_t window_bytes_max, memory_total_bytes;
};

/* Each writes one whole frame, header included, and answers its size; 0 if it does not fit. */
size_t frame_write_hello_ok(void *buffer, size_t capacity, const struct hello_answer *answer);
size_t frame_write_ok(void *buffer, size_t capacity, uint32_t seq, const uint64_t *values, uint32_t count);
size_t frame_write_error(void *buffer, size_t capacity, uint32_t seq, enum warden_error error, const char *message, int sys_errno);
size_t frame_write_ack(void *buffer, size_t capacity, const char *name, uint32_t exec_id, uint32_t stream, uint64_t offset);
size_t frame_write_exit(void *buffer, size_t capacity, const char *name, uint32_t exec_id, const struct exit_record *record,
			uint64_t stdout_bytes, uint64_t stderr_bytes);
size_t frame_write_died(void *buffer, size_t capacity, const char *name, uint32_t reason, const char *detail);
size_t frame_write_grant_ended(void *buffer, size_t capacity, const char *name, const struct grant_ended_notice *end);
size_t frame_write_event(void *buffer, size_t capacity, const char *name, const char *kind, const char *detail);
size_t frame_write_denied(void *buffer, size_t capacity, const char *name, const struct denial_notice *denial);

struct data_frame {
	const char *name;
	uint32_t exec_id, stream;
	uint64_t offset;
	struct msgpack_view parts[2];
	bool fin;
};
size_t frame_write_data(void *buffer, size_t capacity, const struct data_frame *data);

/* For frames that are built piece by piece: start leaves room for the header, finish fills it in and answers the size. */
void frame_write_start(struct msgpack_writer *writer, void *buffer, size_t capacity, enum frame_type type, uint32_t fields);
size_t frame_write_finish(struct msgpack_writer *writer);

#endif
