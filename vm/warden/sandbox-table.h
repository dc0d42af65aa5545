/* What the codec knows of each sandbox and each exec, found by name and id.
 *
 * Owns the memory of entries and their rings; descriptors in them are closed by table_remove and exec_remove.
 * T1  A name stands at most once. An exec id stands at most once in its sandbox.
 * T2  An entry stays until its DESTROY was proven and its last exit record was acknowledged, dropped by a new
 *     CREATE of its name, or too old (then it is GONE, and LIST does not show it).
 * T3  Memory of removed entries is freed by table_collect, between two rounds of the event loop: events of one
 *     round may still point to it. */
#ifndef COHORT_SANDBOX_TABLE_H
#define COHORT_SANDBOX_TABLE_H

#include "frame.h"
#include "ipc.h"
#include "packet-queue.h"
#include "stream.h"

enum watch_kind {
	WATCH_LISTENER, WATCH_LINK, WATCH_BROKER, WATCH_ZYGOTE, WATCH_WITNESS, WATCH_INIT, WATCH_STDOUT, WATCH_STDERR, WATCH_STDIN,
	WATCH_TOOLS,
};

/* What epoll points to. The kind tells which struct it is a part of. */
struct watch {
	enum watch_kind kind;
	int fd;            /* -1: not open (any more) */
	uint32_t interest; /* what epoll was asked for; 0: not registered */
};

struct sandbox;
struct waiter;

/* Streams that come from the process and that go to it. The tools channel is one socket, and the last of both. */
enum output_index { OUT_STDOUT, OUT_STDERR, OUT_TOOLS, OUT_COUNT };
enum input_index { IN_STDIN, IN_TOOLS, IN_COUNT };

enum exec_state {
	EXEC_STARTING, /* asked for; no word from the init yet */
	EXEC_RUNNING,
	EXEC_REAPED,   /* ended; its streams may still hold something */
	EXEC_FINISHED, /* the exit record is complete */
};

struct exec {
	struct exec *previous, *next;
	struct exec *readable_next;
	struct sandbox *sandbox;
	uint32_t id, kind;
	enum exec_state state;
	bool pty;
	bool removed;
	bool in_readable;        /* stands in the codec's list of pipes to read */
	struct waiter *waiters;  /* EXEC frames of this connection that were not answered yet */
	bool stats_asked;        /* the zygote is counting for the exit record */
	uint64_t denials_until_ms; /* the witness is asked for what it counted, which comes before the exit; 0: no */
	bool exit_sent;          /* on this connection */
	uint64_t started_us;
	uint64_t linger_until_ms; /* a reaped pty: its last bytes come a moment later */
	struct watch out_watch[OUT_COUNT], in_watch; /* a pty's stdin goes to the watch of its stdout, the tools channel's to its own */
	bool out_readable[OUT_COUNT];
	bool out_hung_up[OUT_COUNT];
	uint64_t drain_until[OUT_COUNT]; /* after the reap: close at this offset; UINT64_MAX before */
	struct output_stream out[OUT_COUNT];
	struct input_stream in[IN_COUNT];
	bool in_wanted[IN_COUNT];
	bool in_ack_due[IN_COUNT];
	uint64_t oom_kills_before, pids_refused_before; /* as known when it started */
	struct exit_record exit;
};

/* The seq of a request of this connection that waits for its answer. */
struct waiter {
	struct waiter *next;
	uint32_t seq;
};

enum sandbox_state { SANDBOX_CREATING, SANDBOX_ALIVE, SANDBOX_DEAD, SANDBOX_GONE };

enum { ENDED_EXECS_REMEMBERED = EXECS_MAX };

/* A grant that was attached: living, or ended and told again to each connection. */
struct grant_record {
	uint32_t id, flags;
	uint64_t mount_id;
	bool ended;
	struct grant_ended_notice end;
};

struct sandbox {
	struct sandbox *hash_next;
	struct sandbox *previous, *next; /* all entries, the oldest first */
	struct sandbox *ready_next;
	char name[SESSION_NAME_SIZE];
	enum sandbox_state state;
	uint32_t uid, layers;
	int32_t init_pid;
	bool removed;
	bool ready;               /* stands in the codec's list of sandboxes with something to send */
	bool frozen;              /* asked for by FREEZE: the lease's thaw leaves it frozen */
	bool destroying;          /* OP_DESTROY is under way */
	bool destroy_wanted;      /* as soon as it stands */
	bool kill_wanted;         /* the same */
	bool was_denied;          /* the witness told of it, and may have counted more */
	bool ending;              /* somebody asked for its death: the end of its init is no news */
	uint32_t death_flags;     /* enum exit_flag */
	uint64_t destroy_retry_ms;
	uint64_t init_lost_ms;    /* its socket ended; 0: no */
	uint64_t gone_ms;
	struct watch init_watch;
	struct packet_queue to_init;
	struct waiter *create_waiters, *destroy_waiters;
	struct exec *first_exec, *last_exec;
	uint32_t exec_count;
	uint64_t oom_kills_seen, pids_refused_seen;
	uint32_t ended_execs[ENDED_EXECS_REMEMBERED]; /* acknowledged ids: never run again */
	uint32_t ended_execs_next;
	struct grant_record *grants;
	uint32_t grant_count, grant_capacity;
};

enum { TABLE_BUCKETS = 8192 };

struct sandbox_table {
	struct sandbox *buckets[TABLE_BUCKETS];
	struct sandbox *first, *last;
	uint32_t count;      /* entries that are not GONE */
	uint32_t gone_count;
	struct sandbox *removed;
	struct exec *removed_execs;
	struct ring_budget budget;
};

struct sandbox *table_find(const struct sandbox_table *table, const char *name);
/* NULL: no memory. The name does not stand yet. */
struct sandbox *table_add(struct sandbox_table *table, const char *name);
void table_set_gone(struct sandbox_table *table, struct sandbox *sandbox, uint64_t now_ms);
void table_remove(struct sandbox_table *table, struct sandbox *sandbox);
void table_collect(struct sandbox_table *table);

struct exec *exec_find(const struct sandbox *sandbox, uint32_t id);
struct exec *exec_add(struct sandbox *sandbox, uint32_t id);
/* Frees its streams and closes its descriptors. Remember its id if it was, or may have been, run. */
void exec_remove(struct sandbox_table *table, struct exec *exec, bool remember);
/* To the end of its sandbox's list: the next turn is another's. */
void exec_rotate(struct exec *exec);
bool exec_ended_before(const struct sandbox *sandbox, uint32_t id);

/* False: no memory, or too many wait already. */
bool waiter_add(struct waiter **waiters, uint32_t seq);
void waiters_free(struct waiter **waiters);

#endif
