/* The life of one sandbox inside the zygote: creation.c and lifecycle.c; pool.c before it belongs to a session. */
#ifndef COHORT_LIFECYCLE_H
#define COHORT_LIFECYCLE_H

#include "broker.h"
#include "grants.h"
#include "sandbox.h"

/* PREPARING: cloned, not yet proven. PREPARED: proven, nobody's yet. ALIVE: a session's.
 * DYING: killed, not yet reaped. CLEARING: reaped, its cgroups not yet removed. */
enum jail_relay { RELAY_UNKNOWN, RELAY_OPENING, RELAY_OPENED, RELAY_CLOSING };
enum jail_state { PREPARING, PREPARED, ALIVE, DYING, CLEARING, JAIL_STATES };

struct jail {
	struct sandbox_plan plan;
	uint32_t index;
	enum jail_state state;
	pid_t pid;
	int status_fd;
	int codec_control_fd;           /* until the claim, which hands it to the codec */
	int sealed_fd;                  /* until the claim: a writable clone of its sealed mount */
	int network_fd;                 /* its network namespace, if the next sandbox shall have it; else -1 */
	int relay_listen_fd;            /* until the claim: what listens in it, for the relay */
	enum jail_relay relay;
	int idmap_fd;                   /* user namespace of its mounts; -1: it never had one */
	struct jail_grants grants;
	bool frozen;                    /* all of it, its init too, is to stand still: by the lease, or on the way to standing still on request */
	bool claimed;                   /* it has a session's name */
	bool limits_unsure;             /* a change of them failed half way */
	bool create_pending, announced, killed, destroy_pending, freeze_pending;
	uint32_t create_seq, destroy_seq, freeze_seq;
	enum death_reason kill_reason;
	struct fault fault;             /* of a creation that failed */
	uint64_t deadline_ms;           /* of the start, then of the sandbox */
	uint64_t retry_at_ms, retry_delay_ms, give_up_at_ms;
};

enum source { FROM_BROKER, FROM_CODEC, FROM_NETWORK_MAKER, FROM_RELAY, FROM_INITS, FROM_STATUS, FROM_REVOKER };

/* The zygote's own state, set up once before the first sandbox. */
struct zygote {
	const struct cgroup_set *cgroups;
	int broker_fd, codec_fd, witness_fd, relay_fd, epoll_fd;
	int proc_fd;                            /* /proc of the host's pid namespace */
	int own_pid_fd;
	int inits_fd;                           /* readable when one has ended */
	int network_maker_fd;                   /* -1: every sandbox makes its own network namespace */
	uint64_t outer_namespaces[NS_COUNT];
	int mount_namespace_fd, uts_namespace_fd; /* its own: the way back from a visit */
	const struct person *person;
	uint32_t counts[NETWORK_MODES][JAIL_STATES];
};

extern struct zygote zygote;
#define NEVER_MS UINT64_MAX

void watch(int fd, enum source source, uint32_t index);
void unwatch(int *fd);
void send_to_codec(const void *packet, size_t size, const int *fds, size_t fd_count);
void reply_op(uint32_t op, uint32_t seq, const char *name, const struct fault *fault, const uint64_t values[7]);

void jail_set_state(struct jail *jail, enum jail_state state);
/* Answers the codec: with the fault if there is one, else with the layers and the control socket. */
void jail_reply_created(struct jail *jail);
void jail_fail(struct jail *jail, const struct fault *fault);
void jail_on_status(struct jail *jail);
/* init-end.c: once, before the first sandbox. The descriptor is readable when some have ended. */
int inits_watch(void);
void inits_reap(int signal_fd);
/* It was reaped: nothing of its pid namespace is left. */
void jail_on_init_end(struct jail *jail, int wait_status, uint64_t now_ms);
void jail_kill(struct jail *jail, enum death_reason reason);
/* Those of its cgroups; the plan says afterwards what stands. */
int jail_change_limits(struct jail *jail, const struct cgroup_limits *limits, struct fault *fault);
/* This one and jail_freeze answer the codec later, unless the fault says that they could not begin. */
void jail_destroy(struct jail *jail, uint32_t seq, struct fault *fault);
/* A little longer each time. */
void jail_retry_later(struct jail *jail, uint64_t now_ms);

/* freeze.c: all of it but the init. */
void jail_freeze(struct jail *jail, uint32_t seq, struct fault *fault);
void jail_freeze_go_on(struct jail *jail, uint64_t now_ms);
/* Answers whoever waits for it, if somebody does. */
void jail_freeze_fails(struct jail *jail, enum warden_error error, const char *why);
/* The init, too, and nobody waits until every task stands still. */
void jail_freeze_at_once(struct jail *jail);
void jail_thaw(struct jail *jail, struct fault *fault);
/* So long from now, 0 for none. */
void jail_set_deadline(struct jail *jail, uint64_t timeout_ms);
/* network-relay.c: of proxied sandboxes only. Opening is answered to the codec when the relay has answered. */
int jail_relay_open(struct jail *jail, const char *endpoint, int directory_fd, struct fault *fault);
/* Asks for it if that is still to be asked. */
bool jail_relay_is_closed(struct jail *jail);
void relay_on_reply(void);
/* Does what is due and returns when the next thing is; the sandbox may be gone after it. */
uint64_t jail_run_timers(struct jail *jail, uint64_t now_ms);

#endif
