/* Messages between the warden's own processes: codec, broker, zygote and the
 * init of each sandbox. All come from one binary, so the structs travel in
 * native layout over SOCK_SEQPACKET socketpairs, one struct a packet; a packet
 * of another size is a fatal error of the reader, not something to parse.
 *
 *   codec  ──create_request──────► zygote (without mounts)
 *   codec  ──create_request──────► broker ──create_request + mount fds──► zygote (with mounts)
 *   zygote ──a byte──────────────► broker ──uid_block───────────────────► zygote
 *   codec  ◄─create_reply (+ control socket of the new init)──────────── zygote
 *   codec  ──grant_request───────► broker ──grant_request + a mount fd──► zygote
 *   codec  ◄─create_reply or op_reply (refused)── broker
 *   codec  ──op_request──► zygote ──op_reply / died_notice / grant_ended_notice──► codec
 *   codec  ──exec_request + fds / signal_request──► init
 *   codec  ◄─exec_started / exec_exited── init
 *
 * The codec is unprivileged and parses what cohortd sent. The init is as
 * untrusted as its child: what it says only ever becomes data. Root (broker,
 * zygote) reads nothing that a child wrote. */
#ifndef COHORT_IPC_H
#define COHORT_IPC_H

#include <stdint.h>

enum {
	SESSION_NAME_SIZE = 64,   /* with its NUL */
	MOUNTS_MAX = 16,
	MOUNT_SOURCE_SIZE = 4096, /* PATH_MAX, with its NUL */
	MOUNT_TARGET_SIZE = 128,
	ENDPOINT_SIZE = 108,      /* of sockaddr_un, with its NUL */
	DETAIL_SIZE = 256,
	SANDBOXES_MAX = 4096,
	EXECS_MAX = 64,           /* per sandbox, living or not yet acknowledged */
	EXEC_BLOB_MAX = 512 * 1024,
	ARGS_MAX = 8192,          /* argv entries; the same for env */
	GRANT_ID_MIN = MOUNTS_MAX + 1, /* those below are the mounts of the creation */
	GRANTS_MAX = 128,         /* living, per sandbox */
	GRANTS_EVER_MAX = 1024,   /* and the ended ones, which are told until it is destroyed */
	DENIAL_CALL_SIZE = 32,    /* each with its NUL */
	DENIAL_DETAIL_SIZE = 96,
	DENIAL_PROGRAM_SIZE = 16, /* TASK_COMM_LEN */
};

/* What ERROR says; the order is that of warden_error_names[] in errors.c. */
enum warden_error {
	E_NONE, E_BAD_FRAME, E_BAD_VERSION, E_NOT_AUTHORIZED, E_NAME_UNKNOWN, E_NAME_INVALID, E_EXEC_UNKNOWN,
	E_LIMIT_SANDBOXES, E_LIMIT_EXECS, E_LIMIT_MOUNTS, E_UID_EXHAUSTED, E_CGROUP_UNAVAILABLE,
	E_MOUNT_SOURCE_UNREADABLE, E_MOUNT_SOURCE_LINK, E_MOUNT_SOURCE_TYPE, E_MOUNT_SOURCE_SUBMOUNTS,
	E_MOUNT_FS_UNSUPPORTED, E_MOUNT_TARGET_INVALID, E_SETUP_FAILED, E_LAYER_MISSING, E_EXEC_FAILED,
	E_SANDBOX_DEAD, E_LIMIT_GRANTS, E_GRANT_ENDED, E_GRANT_FS_UNSUPPORTED, E_SHUTTING_DOWN,
	E_SANDBOX_FROZEN, E_SANDBOX_BUSY, E_INTERNAL,
};

/* Bits of `layers`; a sandbox runs only with all of them. */
enum layer {
	LAYER_UID, LAYER_NO_CAPABILITIES, LAYER_NO_NEW_PRIVS, LAYER_SECCOMP, LAYER_LANDLOCK, LAYER_MOUNT_NS,
	LAYER_PID_NS, LAYER_IPC_NS, LAYER_UTS_NS, LAYER_NET_NS, LAYER_CGROUP_NS, LAYER_CGROUP_LIMITS,
	LAYER_NO_INHERITED_FD, LAYER_INIT_NOT_DUMPABLE, LAYER_NO_SOCKET, LAYER_ROOT_READ_ONLY, LAYER_RLIMITS,
	LAYER_KEYRING, LAYER_NO_SETUID_GAIN, LAYER_PROC_MASKED, LAYER_COUNT,
};
#define LAYERS_ALL ((1u << LAYER_COUNT) - 1)

enum mount_mode { MOUNT_RO, MOUNT_RW, MOUNT_STAGED };

/* COPIED: the source's file system cannot be idmapped. COPY_PARTIAL: of it, what the person cannot read, and what is neither file,
 * directory nor link, is left out. PROTECTION_PARTIAL: not every protected name could be looked for or covered. */
enum mount_flag { MOUNT_COPIED = 1, MOUNT_PROTECTION_PARTIAL = 2, MOUNT_COPY_PARTIAL = 4 };

struct mount_request {
	char source[MOUNT_SOURCE_SIZE];
	char target[MOUNT_TARGET_SIZE]; /* one path component below ~/mnt */
	uint32_t mode;            /* enum mount_mode */
	uint32_t flags;           /* enum mount_flag, from the broker */
	uint64_t staged_bytes;    /* size of the layer of a staged one, else 0 */
};

/* TMPFS: in memory, there at once. EXT4: on the host's disk, formatted fresh. */
enum disk_kind { DISK_TMPFS, DISK_EXT4, DISK_KINDS };

/* What one sandbox may use. */
struct sandbox_limits {
	uint64_t memory_bytes, disk_bytes, tmp_bytes, disk_inodes;
	uint32_t pids_max, cpu_permille, open_files_max;
	uint32_t disk_kind;       /* enum disk_kind */
};

/* Sent with only mount_count mounts: create_request_size() bytes. From the
 * broker to the zygote the same struct carries mount_count detached mounts as
 * descriptors, in order; the zygote, which chooses the uid, idmaps them. */
struct create_request {
	uint32_t seq;
	uint32_t op;              /* OP_CREATE */
	char name[SESSION_NAME_SIZE];
	uint64_t timeout_ms;      /* 0: none */
	struct sandbox_limits limits;
	uint32_t network;
	uint32_t mount_count;
	char endpoint[ENDPOINT_SIZE]; /* absolute path of a unix socket of the person; empty: none */
	struct mount_request mounts[MOUNTS_MAX];
};

/* From the broker, which owns the counter: uids that nobody had or will have. op: OP_UIDS. */
struct uid_block {
	uint32_t seq, op;
	uint32_t first, count;    /* count 0: there is none, because: */
	uint32_t error;           /* enum warden_error */
	int32_t sys_errno;
	char detail[DETAIL_SIZE];
};

/* A mount for a sandbox that stands. From the broker to the zygote it carries the detached mount. */
struct grant_request {
	uint32_t seq, op;         /* OP_GRANT */
	char name[SESSION_NAME_SIZE];
	uint32_t grant_id, reserved;
	uint64_t ttl_ms;          /* 0: none */
	struct mount_request mount;
};

/* A failure carries error, sys_errno and a detail; success carries uid,
 * init_pid, layers and one descriptor: the codec's end of the init's socket. */
struct create_reply {
	uint32_t kind;            /* enum from_zygote */
	uint32_t seq;
	char name[SESSION_NAME_SIZE];
	uint32_t error;           /* enum warden_error */
	int32_t sys_errno;
	uint32_t uid;
	int32_t init_pid;         /* in the warden's pid namespace */
	uint32_t layers;
	char detail[DETAIL_SIZE];
};

enum zygote_op {
	OP_FREEZE = 1, OP_THAW, OP_KILL, OP_STATS, OP_DESTROY, OP_PROBE, OP_REVOKE, OP_DEADLINE, OP_FREEZE_ALL, OP_THAW_ALL, OP_KILL_ALL,
	OP_CREATE, OP_GRANT, OP_UIDS,
};

struct op_request {
	uint32_t seq, op;
	uint32_t reason;          /* enum death_reason, for OP_KILL and OP_KILL_ALL; for OP_DEADLINE milliseconds from now, 0 for none */
	uint32_t grant_id;        /* for OP_REVOKE */
	char name[SESSION_NAME_SIZE]; /* unused by the *_ALL operations */
};

enum from_zygote { FROM_CREATE_REPLY = 1, FROM_OP_REPLY, FROM_DIED, FROM_GRANT_ENDED };

enum death_reason { DEATH_ASKED, DEATH_ITSELF, DEATH_DEADLINE, DEATH_LEASE, DEATH_OOM, DEATH_REVOCATION };

/* values by op: STATS memory, peak, pids, cpu_us, oom_kills, pids_refused, throttled_us;
 * PROBE layers seen from outside; GRANT mount id, enum mount_flag; REVOKE processes killed, child killed (0 or 1);
 * DESTROY processes left, cgroups left (both 0, or it failed). */
struct op_reply {
	uint32_t kind, seq, op, error;
	int32_t sys_errno;
	uint32_t reserved;
	char name[SESSION_NAME_SIZE];
	uint64_t values[8];
	char detail[DETAIL_SIZE];
};

struct died_notice {
	uint32_t kind, reason;    /* reason: enum death_reason */
	char name[SESSION_NAME_SIZE];
	uint64_t oom_kills;
	char detail[DETAIL_SIZE];
};

enum grant_end { GRANT_END_REVOKED, GRANT_END_EXPIRED };

/* Once for each grant whose end was proven, but for those that end with their sandbox. */
struct grant_ended_notice {
	uint32_t kind, grant_id, reason; /* reason: enum grant_end */
	uint32_t processes_killed, child_killed, reserved;
	char name[SESSION_NAME_SIZE];
};

enum to_init { TO_INIT_EXEC = 1, TO_INIT_SIGNAL, TO_INIT_PROBE, TO_INIT_CLAIM };
enum exec_kind { EXEC_COMMAND, EXEC_COLLECT, EXEC_DIFF };
enum exec_flag { EXEC_PTY = 1, EXEC_TOOLS = 2 };

/* Carries EXEC_FDS descriptors, or with EXEC_TOOLS one more: a sealed memfd with
 * the blob, then stdin, stdout, stderr (a pty's slave thrice), then the program's
 * end of its tools channel. The blob is argc + envc NUL-ended strings. */
enum { EXEC_FDS = 4, EXEC_FDS_MAX = 5 };
struct exec_request {
	uint32_t kind;            /* enum to_init */
	uint32_t exec_id;
	uint32_t exec_kind, flags;
	uint32_t argc, envc, blob_size, reserved;
	char cwd[MOUNT_SOURCE_SIZE];
};

static inline uint32_t exec_fd_count(uint32_t flags)
{
	return (flags & EXEC_TOOLS) != 0 ? EXEC_FDS_MAX : EXEC_FDS;
}

/* TO_INIT_SIGNAL: exec_id 0 = every process but init, else that exec's process group. */
struct signal_request {
	uint32_t kind, exec_id, signal_number, reserved;
};

/* TO_INIT_CLAIM: the first packet, from the zygote: whose sandbox a prepared one became. No answer. */
struct claim_order {
	uint32_t kind, reserved;
	char name[SESSION_NAME_SIZE];
	struct sandbox_limits limits;
};

enum from_init { FROM_INIT_STARTED = 1, FROM_INIT_EXITED, FROM_INIT_PROBED };

/* What had no room left when a process ended. */
enum full_space { FULL_DISK = 1, FULL_INODES = 2, FULL_TMP = 4, FULL_STAGED = 8 };

struct init_message {
	uint32_t kind;            /* enum from_init */
	uint32_t exec_id;
	uint32_t error;           /* STARTED: E_NONE, E_EXEC_FAILED or E_LAYER_MISSING */
	int32_t sys_errno;
	uint32_t layers;          /* STARTED, PROBED: seen from inside */
	int32_t wait_status;      /* EXITED: as waitpid gives it */
	uint32_t out_is_empty;    /* EXITED: there was nothing in ~/out */
	uint32_t full;            /* EXITED: bits of enum full_space */
	uint64_t wall_us, user_us, system_us, max_rss_kib;
	char detail[DETAIL_SIZE];
};

/* From the zygote to the witness, with one descriptor: the listener of a new sandbox's filter. */
struct listener_notice {
	uint32_t uid;             /* names the sandbox: no other ever has it */
	uint32_t reserved;
};

/* From the codec to the witness: a process of this sandbox has ended, so tell now what you counted. */
struct count_request {
	uint32_t uid;
	uint32_t reserved;
};

/* From the witness to the codec. Texts are printable ASCII. */
struct denial_notice {
	uint32_t uid;
	uint32_t ordinal;         /* counts the notices of this sandbox, from 1 */
	uint32_t repeated;        /* how often it was refused since the last notice of the same; 0: all was told that a count_request asked for */
	int32_t pid;              /* as the sandbox counts; 0: unknown */
	char program[DENIAL_PROGRAM_SIZE];
	char call[DENIAL_CALL_SIZE];
	char detail[DENIAL_DETAIL_SIZE];
};

#endif
