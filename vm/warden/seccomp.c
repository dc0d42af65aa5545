/* The system call filter of a sandbox: a binary search tree over the numbers,
 * because the kernel runs the filter once for every number when it is loaded
 * (to cache what is always allowed), so that depth is what costs.
 *
 * Every number up to the ceiling was looked at: it is allowed, refused, or
 * allowed for some arguments. Above the ceiling, and for x32, the answer is
 * ENOSYS, which libc takes as "this kernel is older". Pure but for seccomp(). */
#include "confine.h"
#include "seccomp-emit.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
enum { OUR_ARCH = (int)AUDIT_ARCH_X86_64, OLD_NUMBERS_END = 335 };
#elif defined(__aarch64__)
enum { OUR_ARCH = (int)AUDIT_ARCH_AARCH64, OLD_NUMBERS_END = 295 };
#else
#error "the system call filter is written for x86_64 and aarch64"
#endif

/* From 424 on the numbers are the same on all machines. 466 is removexattrat (Linux 6.13). */
enum { NEW_NUMBERS = 424, CEILING = 467, PROGRAM_MAX = 512 };

enum action {
	ALLOW, REFUSE, NOTIFY, ABSENT, OWN_FILTER, CLONE, SOCKETPAIR, SOCKET_TCP, SETSOCKOPT, IOCTL, MKNOD, MKNODAT, CHMOD, FCHMODAT, OPEN, OPENAT, FCNTL,
	PRLIMIT, RENAMEAT2, MMAP, MEMFD, SHMGET, MADVISE, PRCTL, ACTION_COUNT,
};

static const struct {
	int number;
	enum action action;
} rules[] = {
#define RULE(name, action) { __NR_##name, action },
#include "seccomp-rules.h"
#undef RULE
};

static struct program {
	struct sock_filter instructions[PROGRAM_MAX];
	unsigned short length;
	/* A sandbox's: a refusal that is worth knowing of asks the listener which error it shall be. */
	bool has_listener;
} programs[FILTER_PROFILES], *program;

static struct interval {
	uint32_t first;
	enum action action;
} intervals[CEILING + 1];
static size_t interval_count;

void emit(uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t operand)
{
	if (program->length >= PROGRAM_MAX)
		die("the system call filter is too long");
	program->instructions[program->length++] = (struct sock_filter){ code, if_true, if_false, operand };
}

void emit_return(uint32_t value)
{
	emit(BPF_RET | BPF_K, 0, 0, value);
}

void emit_refusal(int error_number)
{
	emit_return(SECCOMP_RET_ERRNO | (uint32_t)error_number);
}

/* Without a listener, and for whoever answers late, it is the same error. */
void emit_notified_refusal(void)
{
	emit_return(program->has_listener ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ERRNO | EPERM);
}

void emit_load_argument(unsigned int index)
{
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * index));
}

/* The truth check must be refused by the same rule as everybody, and must not be heard of. */
void emit_told_refusal(void)
{
	emit_load_argument(5);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, FILTER_QUIETLY);
	emit_refusal(EPERM);
	emit_notified_refusal();
}

static void emit_permission(void)
{
	emit_return(SECCOMP_RET_ALLOW);
}

static void emit_quiet_refusal(void)
{
	emit_refusal(EPERM);
}

static void emit_absence(void)
{
	emit_refusal(ENOSYS);
}

static void emit_clone(void)
{
	emit_load_argument(0);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1,
	     CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);
	emit_notified_refusal();
	emit_return(SECCOMP_RET_ALLOW);
}

/* What an action is made of: a piece of its own, one that looks at the argument where the mode (or flags and mode) stand, or bits that are
 * refused in an argument. */
static const struct {
	void (*plain)(void);
	void (*of_mode)(unsigned int argument);
	unsigned int argument;
	uint32_t bits;
	int error_number;
} emitters[ACTION_COUNT] = {
	[ALLOW] = { .plain = emit_permission },
	[REFUSE] = { .plain = emit_quiet_refusal },
	[NOTIFY] = { .plain = emit_told_refusal },
	[ABSENT] = { .plain = emit_absence },
	[OWN_FILTER] = { .plain = emit_own_filter },
	[CLONE] = { .plain = emit_clone },
	[SOCKETPAIR] = { .plain = emit_socketpair },
	[SOCKET_TCP] = { .plain = emit_socket_tcp },
	[SETSOCKOPT] = { .plain = emit_setsockopt },
	[IOCTL] = { .plain = emit_ioctl },
	[FCNTL] = { .plain = emit_fcntl },
	[PRLIMIT] = { .plain = emit_prlimit },
	[MADVISE] = { .plain = emit_madvise },
	[PRCTL] = { .plain = emit_prctl },
	[MKNOD] = { .of_mode = emit_mknod, .argument = 1 },
	[MKNODAT] = { .of_mode = emit_mknod, .argument = 2 },
	[CHMOD] = { .of_mode = emit_chmod, .argument = 1 },
	[FCHMODAT] = { .of_mode = emit_chmod, .argument = 2 },
	[OPEN] = { .of_mode = emit_open, .argument = 1 },
	[OPENAT] = { .of_mode = emit_open, .argument = 2 },
	/* RENAME_WHITEOUT makes a character device where the file was. */
	[RENAMEAT2] = { .argument = 4, .bits = 1u << 2, .error_number = EPERM },
	[MMAP] = { .argument = 3, .bits = MAP_HUGETLB, .error_number = ENOMEM },
	[MEMFD] = { .argument = 1, .bits = MFD_HUGETLB, .error_number = ENOMEM },
	[SHMGET] = { .argument = 2, .bits = SHM_HUGETLB, .error_number = ENOMEM },
};

static void emit_action(enum action action)
{
	if (emitters[action].plain != NULL)
		emitters[action].plain();
	else if (emitters[action].of_mode != NULL)
		emitters[action].of_mode(emitters[action].argument);
	else if (emitters[action].bits != 0)
		emit_refused_bits(emitters[action].argument, emitters[action].bits, emitters[action].error_number);
	else
		die("no such action of the system call filter");
}

/* Emits the tree over intervals [from, to); the number is in the accumulator. */
static void emit_tree(size_t from, size_t to, unsigned int depth)
{
	if (depth > 16)
		die("the system call filter is too deep");
	if (to - from == 1) {
		emit_action(intervals[from].action);
		return;
	}
	size_t middle = from + (to - from) / 2;
	unsigned short node = program->length;
	emit(BPF_JMP | BPF_JGE | BPF_K, 0, 0, intervals[middle].first);
	emit_tree(from, middle, depth + 1);
	unsigned int skipped = (unsigned int)program->length - node - 1;
	if (skipped > UINT8_MAX)
		die("a branch of the system call filter is too long");
	program->instructions[node].jt = (uint8_t)skipped;
	emit_tree(middle, to, depth + 1);
}

/* What a profile has instead. */
static const struct {
	enum filter_profile profile;
	int number;
	enum action action;
} profile_rules[] = {
	{ FILTER_CODEC, __NR_accept4, ALLOW }, { FILTER_CODEC, __NR_execve, REFUSE }, { FILTER_CODEC, __NR_execveat, REFUSE },
	{ FILTER_CODEC, __NR_clone, REFUSE }, { FILTER_CODEC, __NR_kill, REFUSE },
#ifdef __NR_fork
	{ FILTER_CODEC, __NR_fork, REFUSE }, { FILTER_CODEC, __NR_vfork, REFUSE },
#endif
	/* In a network namespace of its own, where TCP leads to the relay or to itself. A pair of unix sockets is connected for ever: bind()
	 * on one needs the right to make a socket file, which Landlock keeps, and connect() on one is EISCONN. */
	{ FILTER_PROXIED, __NR_socket, SOCKET_TCP }, { FILTER_PROXIED, __NR_setsockopt, SETSOCKOPT }, { FILTER_PROXIED, __NR_connect, ALLOW },
	{ FILTER_PROXIED, __NR_bind, ALLOW }, { FILTER_PROXIED, __NR_listen, ALLOW }, { FILTER_PROXIED, __NR_accept, ALLOW },
	{ FILTER_PROXIED, __NR_accept4, ALLOW },
};

static void collect_intervals(enum filter_profile profile)
{
	enum action by_number[CEILING + 1];
	for (uint32_t number = 0; number <= CEILING; number++)
		by_number[number] = number < OLD_NUMBERS_END || (number >= NEW_NUMBERS && number < CEILING) ? ALLOW : ABSENT;
	for (size_t i = 0; i < ARRAY_LENGTH(rules); i++) {
		if (rules[i].number < 0 || rules[i].number >= CEILING)
			die("the system call filter names number %d, above its ceiling", rules[i].number);
		by_number[rules[i].number] = rules[i].action;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(profile_rules); i++)
		if (profile_rules[i].profile == profile)
			by_number[profile_rules[i].number] = profile_rules[i].action;
	interval_count = 0;
	for (uint32_t number = 0; number <= CEILING; number++)
		if (number == 0 || by_number[number] != by_number[number - 1])
			intervals[interval_count++] = (struct interval){ number, by_number[number] };
}

void seccomp_prepare(enum filter_profile profile)
{
	program = &programs[profile];
	program->length = 0;
	program->has_listener = profile != FILTER_CODEC;
	/* Another architecture (int 0x80) has other numbers: checked first, or all below means something else. */
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)OUR_ARCH);
	emit_return(SECCOMP_RET_KILL_PROCESS);
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	collect_intervals(profile);
	emit_tree(0, interval_count, 0);
}

static int load(enum filter_profile profile, unsigned int flags)
{
	struct sock_fprog filter = { .len = programs[profile].length, .filter = programs[profile].instructions };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

int seccomp_apply(enum filter_profile profile)
{
	return load(profile, 0);
}

/* A signal that comes while a call is being answered waits until it is: else every answer to a busy caller could come too late. */
int seccomp_apply_listening(enum filter_profile profile)
{
	return load(profile, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}
