/* The codec's state, and what its files call of each other. One thread, one struct; nothing here is shared.
 *
 * Owns: connections, the table, packets under way to broker, zygote and inits, the lease.
 * Does not own: any process or cgroup (the zygote does), uids and mount sources (the broker does).
 *
 * C1  No call blocks; what cannot go now waits in a bounded queue, and epoll says when to go on.
 * C2  A supervisor that does not read loses its connection, never a child and never output.
 * C3  Every request with a seq gets one OK or ERROR, unless its connection ends first.
 * C4  What an init says is data: it can end its own sandbox and touch nothing else. */
#ifndef COHORT_CODEC_STATE_H
#define COHORT_CODEC_STATE_H

#include "base.h"
#include "codec.h"
#include "lease.h"
#include "sandbox-table.h"

enum {
	LINK_GUESTS_MAX = 8,
	LINK_OUT_TARGET = 256 * 1024, /* DATA is added while less than this waits */
	LINK_OUT_MAX = 16 << 20,      /* beyond it the supervisor does not read, and is let go */
	OPERATIONS_MAX = 16384,
	OPERATIONS_OF_REQUESTS_MAX = 4096,
	GONE_MAX = 4096,
	GONE_AGE_MS = 15 * 60 * 1000,
};

/* One connection: a guest until its HELLO, then the supervisor. */
struct link {
	struct watch watch;
	struct link *next_closed;
	uint8_t *in, *out;
	size_t in_size, in_capacity;
	size_t out_start, out_end, out_capacity;
	bool greeted;
	uint64_t accepted_ms;
};

/* Why an operation was sent to the zygote, and so what its reply means. */
enum operation_purpose {
	PURPOSE_NONE,
	PURPOSE_CREATE,
	PURPOSE_ANSWER_NOTHING, /* FREEZE, THAW, KILL: OK without values */
	PURPOSE_ANSWER_STATS,
	PURPOSE_ANSWER_PROBE,
	PURPOSE_EXIT_STATS,     /* flags of an exit record */
	PURPOSE_DESTROY,
	PURPOSE_GRANT,
	PURPOSE_REVOKE,
	PURPOSE_LEASE,
	PURPOSE_LEASE_KILL,
	PURPOSE_END_SANDBOX,    /* nobody waits for the kill of a sandbox that broke a rule */
};

struct operation {
	enum operation_purpose purpose; /* NONE: the slot is free */
	uint32_t round;                 /* grows with each use: a late reply to an earlier use is no reply */
	uint32_t op;
	uint32_t link_round;            /* 0: asked by the codec itself */
	uint32_t seq;
	uint32_t exec_id;
	uint32_t grant_id;
	uint64_t deadline_ms;
	bool inside_known;               /* of a probe: then the outside is asked */
	uint32_t inside;
	char name[SESSION_NAME_SIZE];
};

struct codec {
	const struct codec_config *config;
	int epoll_fd;
	uint64_t now_ms;
	struct watch listener, broker, zygote, witness;
	struct packet_queue to_broker, to_zygote;
	struct link *supervisor;
	struct link *guests[LINK_GUESTS_MAX];
	struct link *closed_links;
	uint32_t link_round;            /* of the supervisor's connection, from 1 */
	uint64_t accept_again_ms;       /* the listener rests until then; 0: it does not */
	struct lease lease;
	struct sandbox_table table;
	struct sandbox *first_ready, *last_ready;
	struct exec *first_readable, *last_readable;
	bool lingering;                 /* some pty may be reaped and not yet closed */
	struct operation operations[OPERATIONS_MAX];
	uint32_t operations_count, operations_of_requests, operations_next;
	uint64_t idle_since_ms;
	uint64_t shutdown_ms;           /* SHUTDOWN came; 0: no */
	bool ended;
	int exit_status;
	struct frame frame;
	struct frame_scratch scratch;
};

/* codec.c */
/* Registers, changes or (interest 0) removes what epoll waits for. False: the descriptor cannot be watched. */
bool codec_watch(struct codec *codec, struct watch *watch, uint32_t interest);
void codec_end(struct codec *codec, int exit_status);

/* supervisor-link.c */
void links_accept(struct codec *codec);
void link_event(struct codec *codec, struct link *link, uint32_t events);
void supervisor_violation(struct codec *codec, const char *what);
void link_close(struct codec *codec, struct link *link, const char *why);
void link_fail(struct codec *codec, struct link *link, int sys_errno);
void links_tick(struct codec *codec);
void links_collect(struct codec *codec);

/* link-output.c */
/* Room for one frame; NULL: no supervisor is connected (any more). */
uint8_t *supervisor_space(struct codec *codec, size_t size);
void supervisor_commit(struct codec *codec, size_t size);
void supervisor_flush(struct codec *codec);

/* answers.c */
void answer_ok(struct codec *codec, uint32_t seq, const uint64_t *values, uint32_t count);
void answer_error(struct codec *codec, uint32_t seq, enum warden_error error, int sys_errno, const char *format, ...) PRINTF_LIKE(5, 6);
void answer_created(struct codec *codec, uint32_t seq, const struct sandbox *sandbox);
void answer_list(struct codec *codec, uint32_t seq);
void tell_died(struct codec *codec, const struct sandbox *sandbox, uint32_t reason, const char *detail);
void tell_event(struct codec *codec, const char *name, const char *kind, const char *detail);

/* supervisor-requests.c */
void request_handle(struct codec *codec);

/* grant-requests.c */
void grant_start(struct codec *codec, struct sandbox *sandbox);
void grant_revoke(struct codec *codec);
/* The broker's or the zygote's answer to either; the operation is over after it. */
void grant_replied(struct codec *codec, const struct operation *operation, const struct op_reply *reply);
void grant_ended(struct codec *codec, const struct grant_ended_notice *end);
/* Every end that is known, after the answer to LIST. */
void grants_tell(struct codec *codec);

/* exec-requests.c: frames that name an exec */
void exec_ack(struct codec *codec);
void exec_exit_ack(struct codec *codec);
void exec_credit(struct codec *codec);
void exec_signal(struct codec *codec, struct sandbox *sandbox);
void exec_resize(struct codec *codec, struct sandbox *sandbox);
void exec_input_data(struct codec *codec);

/* exec-start.c */
void exec_start(struct codec *codec, struct sandbox *sandbox);

/* exec-streams.c */
void exec_output_event(struct codec *codec, struct exec *exec, size_t index, uint32_t events);
void exec_stdin_event(struct codec *codec, struct exec *exec, uint32_t events);
void exec_make_readable(struct codec *codec, struct exec *exec);
/* Reads each pipe that has something, once. True: there is more to read now. */
bool exec_read_all(struct codec *codec);
void exec_input_write(struct codec *codec, struct exec *exec, size_t index);
/* What still comes for it is dropped. */
void exec_input_close(struct codec *codec, struct exec *exec, size_t index);
void exec_output_end(struct codec *codec, struct exec *exec, size_t index);
void exec_drain(struct codec *codec, struct exec *exec);
void exec_linger_tick(struct codec *codec);

/* exec-exit.c */
void exec_started(struct codec *codec, struct exec *exec, const struct init_message *message);
void exec_exited(struct codec *codec, struct exec *exec, const struct init_message *message);
void exec_sandbox_died(struct codec *codec, struct exec *exec, uint32_t reason);
/* Completes the exit record as soon as the process is reaped, its streams ended and its flags known. */
void exec_settle(struct codec *codec, struct exec *exec);
void exec_stats_reply(struct codec *codec, struct sandbox *sandbox, uint32_t exec_id, const struct op_reply *reply);

/* output.c */
void output_make_ready(struct codec *codec, struct sandbox *sandbox);
/* Adds frames of ready sandboxes in turn, as long as the supervisor's buffer is below its target. */
void output_fill(struct codec *codec);
void output_restart(struct codec *codec);
/* Forgets removed entries; before table_collect. */
void output_collect(struct codec *codec);

/* init-link.c */
void init_event(struct codec *codec, struct sandbox *sandbox, uint32_t events);
void init_close(struct codec *codec, struct sandbox *sandbox);
void init_drain(struct codec *codec, struct sandbox *sandbox);
bool init_send(struct codec *codec, struct sandbox *sandbox, const void *data, size_t size, int *fds, size_t fd_count);

/* denials.c */
/* What the witness has told so far goes to the supervisor. Without one it stays where it is. */
void denials_pass_on(struct codec *codec);
/* A process ended: what it was refused comes before its exit. */
void denials_ask(struct codec *codec, struct exec *exec);
/* The same without the witness, which is too slow. */
void denials_tick(struct codec *codec, struct sandbox *sandbox);
/* Listens to the witness as long as there is a supervisor that reads. */
void denials_watch(struct codec *codec);

/* sandbox-life.c */
void sandbox_create(struct codec *codec);
void sandbox_created(struct codec *codec, const struct create_reply *reply, int init_fd);
void sandbox_died(struct codec *codec, struct sandbox *sandbox, uint32_t reason, uint64_t oom_kills, const char *detail);
void sandbox_destroy(struct codec *codec, struct sandbox *sandbox);
void sandbox_destroyed(struct codec *codec, struct sandbox *sandbox, const struct op_reply *reply);
/* It broke a rule: kill it, whoever asks. */
void sandbox_end(struct codec *codec, struct sandbox *sandbox, const char *why);
/* Frees what is GONE and holds no record any more. */
void sandbox_settle(struct codec *codec, struct sandbox *sandbox);
void sandboxes_tick(struct codec *codec);

/* lease-actions.c */
void lease_act(struct codec *codec, enum lease_action action);
void lease_killed(struct codec *codec);

/* operations.c */
/* False: too many wait; nothing was sent. link_round is set for requests of the supervisor (seq != NULL). */
/* Those of creations and grants send nothing: their packet goes through packet_to_root(). */
struct operation *operation_start(struct codec *codec, enum operation_purpose purpose, uint32_t op, const char *name, uint32_t reason,
				  const uint32_t *seq);
uint32_t operation_ticket(const struct codec *codec, const struct operation *operation);
/* One packet to the broker or the zygote, now or when it takes some. */
void packet_to_root(struct codec *codec, struct watch *watch, struct packet_queue *queue, const void *packet, size_t size);
/* Does the connection that asked still wait? */
bool operation_is_awaited(const struct codec *codec, const struct operation *operation);
void zygote_event(struct codec *codec, uint32_t events);
void broker_event(struct codec *codec, uint32_t events);
void probe_inside(struct codec *codec, const struct sandbox *sandbox, uint32_t layers);
void operations_tick(struct codec *codec);

#endif
