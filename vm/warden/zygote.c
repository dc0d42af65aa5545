/* The zygote: root, in the template root, without a path to the host.
 *
 * Owns: every sandbox from its clone to the proof that nothing of it is left,
 * and its deadline. Does not own: uids and mount sources (the broker's), names
 * of execs and any byte that a child wrote (the codec's and the init's).
 * Invariants:
 *   Z1 Reads fixed structs only; a packet of another size ends the warden.
 *   Z2 A sandbox is announced only with every layer proven, and every announced
 *      sandbox gets exactly one died_notice.
 *   Z3 A DESTROY is answered OK only when all cgroups could be removed, which the
 *      kernel grants only when no process is left in them.
 *   Z4 Nothing waits but epoll: no operation on one sandbox delays another's deadline. */
#include "zygote.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "codec.h"
#include "confine.h"
#include "jail-table.h"
#include "network-stock.h"
#include "pool.h"

enum { EVENTS_MAX = 64, SEND_TIMEOUT_S = 10 };

struct zygote zygote;

void watch(int fd, enum source source, uint32_t index)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)index << 8 | source };
	if (epoll_ctl(zygote.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die_errno("zygote: cannot watch a descriptor");
}

void unwatch(int *fd)
{
	/* A clone of the zygote that has not closed its copy yet would keep the registration alive: epoll would wake for ever, and for whoever has the index next. */
	if (*fd >= 0 && epoll_ctl(zygote.epoll_fd, EPOLL_CTL_DEL, *fd, NULL) != 0)
		die_errno("zygote: cannot stop watching a descriptor");
	close_fd(fd);
}

void send_to_codec(const void *packet, size_t size, const int *fds, size_t fd_count)
{
	/* The socket has a send timeout: a codec that takes nothing for so long is broken, and with it the warden. One that ended, perhaps
	 * in order, is for the broker to judge. */
	if (send_packet(zygote.codec_fd, packet, size, fds, fd_count) != 0 && errno != EPIPE)
		die_errno("zygote: the codec takes nothing");
}

void reply_op(uint32_t op, uint32_t seq, const char *name, const struct fault *fault, const uint64_t values[7])
{
	struct op_reply reply = { .kind = FROM_OP_REPLY, .seq = seq, .op = op };
	format_text(reply.name, sizeof(reply.name), "%.*s", SESSION_NAME_SIZE - 1, name);
	if (fault != NULL) {
		reply.error = fault->error;
		reply.sys_errno = fault->sys_errno;
		memcpy(reply.detail, fault->detail, sizeof(reply.detail));
	}
	if (values != NULL)
		memcpy(reply.values, values, 7 * sizeof(values[0]));
	send_to_codec(&reply, sizeof(reply), NULL, 0);
}

/* What comes from the codec or the broker; the first two fields of every struct are the same. */
static union {
	struct op_request op;
	struct uid_block uids;
	struct create_request create;
	struct grant_request grant;
} received;

static void grant(int mount_fd)
{
	received.grant.name[SESSION_NAME_SIZE - 1] = '\0';
	grants_request(&received.grant, mount_fd);
}

static void on_broker(void)
{
	int fds[CREATE_FDS_MAX];
	size_t fd_count = 0;
	ssize_t size = receive_packet(zygote.broker_fd, &received, sizeof(received), fds, CREATE_FDS_MAX, &fd_count);
	if (size == 0)
		_exit(EXIT_SUCCESS); /* the broker ended; so do we */
	if (size == (ssize_t)sizeof(received.uids) && received.uids.op == OP_UIDS)
		pool_take_uids(&received.uids);
	else if (size == (ssize_t)sizeof(received.grant) && received.grant.op == OP_GRANT && fd_count == 1)
		grant(fds[0]);
	else
		jail_order(&received.create, size, fds, fd_count);
	for (size_t i = 0; i < fd_count; i++)
		close_fd(&fds[i]);
}

/* Operations on one sandbox. What is answered later (DESTROY, FREEZE, REVOKE) leaves the fault empty and returns false. */
static bool operate(const struct op_request *request, struct jail *jail, struct fault *fault, uint64_t values[7])
{
	bool dead = jail->state == DYING || jail->state == CLEARING;
	switch ((enum zygote_op)request->op) {
	case OP_DESTROY:
		jail_destroy(jail, request->seq, fault);
		return fault->error != E_NONE;
	case OP_KILL:
		jail_kill(jail, (enum death_reason)request->reason);
		return true;
	case OP_REVOKE:
		return grants_revoke(jail, request->seq, request->grant_id, fault, values);
	case OP_FREEZE: case OP_THAW: case OP_DEADLINE:
	case OP_STATS:
	case OP_PROBE:
		break;
	case OP_FREEZE_ALL:
	case OP_THAW_ALL:
	case OP_KILL_ALL:
	case OP_CREATE:
	case OP_UIDS:
	case OP_GRANT:
		die("zygote: operation %u is not one on a sandbox", request->op);
	}
	if (dead) {
		fail(fault, E_SANDBOX_DEAD, 0, "%s is dead", jail->plan.name);
	} else if (request->op == OP_FREEZE) {
		jail_freeze(jail, request->seq, fault);
		return fault->error != E_NONE;
	} else if (request->op == OP_DEADLINE) {
		jail_set_deadline(jail, request->reason);
	} else if (request->op == OP_THAW) {
		jail_thaw(jail, fault);
	} else if (request->op == OP_PROBE) {
		values[0] = layers_seen_outside(&jail->plan, zygote.cgroups, zygote.proc_fd, jail->pid);
	} else if (cgroup_stats(zygote.cgroups, jail->plan.cgroup, values) != 0) {
		fail(fault, E_INTERNAL, errno, "cannot read the counters of %s", jail->plan.name);
	}
	return true;
}

static void operate_on_all(const struct op_request *request)
{
	uint64_t values[7] = { 0 };
	for (uint32_t i = 0; i < jail_table_end(); i++) {
		struct jail *jail = jail_at(i);
		struct fault ignored = { 0 };
		/* One that is only prepared runs nothing. */
		if (jail == NULL || jail->state != ALIVE)
			continue;
		values[0]++;
		if (request->op == OP_KILL_ALL)
			jail_kill(jail, (enum death_reason)request->reason);
		else if (request->op == OP_THAW_ALL)
			jail_thaw(jail, &ignored);
		else
			jail_freeze_at_once(jail);
	}
	reply_op(request->op, request->seq, "", NULL, values);
}

static void on_codec(void)
{
	struct op_request request;
	struct fault fault = { 0 };
	uint64_t values[7] = { 0 };
	ssize_t size = receive_packet(zygote.codec_fd, &received, sizeof(received), NULL, 0, NULL);
	if (size == 0) {
		/* The codec ended. The broker, whose child it is, knows whether in order, and ends us. */
		if (epoll_ctl(zygote.epoll_fd, EPOLL_CTL_DEL, zygote.codec_fd, NULL) != 0)
			die_errno("zygote: cannot stop watching the codec");
		return;
	}
	if (size >= (ssize_t)create_request_size(0) && received.create.op == OP_CREATE) {
		jail_order(&received.create, size, NULL, 0);
		return;
	}
	request = received.op;
	if (size != (ssize_t)sizeof(request) || request.op < OP_FREEZE || request.op > OP_KILL_ALL ||
	    (request.reason > DEATH_OOM && request.op != OP_DEADLINE))
		die("zygote: an op_request of %zd bytes, operation %u", size, request.op);
	request.name[SESSION_NAME_SIZE - 1] = '\0';
	if (request.op >= OP_FREEZE_ALL) {
		operate_on_all(&request);
		return;
	}
	if (request.op == OP_DESTROY)
		pool_cancel(request.name);
	struct jail *jail = jail_find(request.name);
	bool answer = true;
	if (jail != NULL)
		answer = operate(&request, jail, &fault, values);
	else if (request.op != OP_DESTROY && request.op != OP_REVOKE)
		fail(&fault, E_NAME_UNKNOWN, 0, "there is no sandbox %s", request.name);
	if (answer)
		reply_op(request.op, request.seq, request.name, &fault, values);
}

/* Does what is due, and returns how long epoll may wait. */
static int run_timers(void)
{
	uint64_t now_ms = boot_ms(), next_ms = revokers_reap(now_ms);
	jail_table_run_timers(now_ms);
	pool_turn(now_ms);
	/* One that was just begun or claimed is due at once: only then is known when. */
	next_ms = jail_table_due_ms() < next_ms ? jail_table_due_ms() : next_ms;
	next_ms = pool_due_ms() < next_ms ? pool_due_ms() : next_ms;
	if (next_ms == NEVER_MS)
		return -1;
	return next_ms <= now_ms ? 0 : next_ms - now_ms > 60000 ? 60000 : (int)(next_ms - now_ms);
}

static void dispatch(const struct epoll_event *event)
{
	enum source source = (enum source)(event->data.u64 & 0xff);
	struct jail *jail = source == FROM_STATUS || source == FROM_REVOKER ? jail_at((uint32_t)(event->data.u64 >> 8)) : NULL;
	switch (source) {
	case FROM_BROKER:
		on_broker();
		return;
	case FROM_CODEC:
		on_codec();
		return;
	case FROM_NETWORK_MAKER:
		if (zygote.network_maker_fd >= 0)
			network_stock_receive(&zygote.network_maker_fd);
		return;
	case FROM_RELAY:
		relay_on_reply();
		return;
	case FROM_STATUS:
		/* An earlier event of the same round may have ended it. */
		if (jail != NULL && jail->status_fd >= 0)
			jail_on_status(jail);
		return;
	case FROM_INITS:
		inits_reap(zygote.inits_fd);
		return;
	case FROM_REVOKER:
		if (jail != NULL && jail->grants.revoker_pid != 0)
			grants_on_revoker(jail);
		return;
	}
}

void zygote_main(const struct cgroup_set *cgroups, const struct person *person, const struct zygote_sockets *sockets, int ready_fd)
{
	zygote = (struct zygote){ .cgroups = cgroups, .person = person, .broker_fd = sockets->broker, .codec_fd = sockets->codec,
				  .witness_fd = sockets->witness, .relay_fd = sockets->relay };
	const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
	/* The locks, the listening socket and the broker's own ends are closed first. */
	const int kept[] = { sockets->broker, sockets->codec, sockets->witness, sockets->relay, ready_fd, cgroups->v2_fd, cgroups->v1_fd[0], cgroups->v1_fd[1], cgroups->v1_fd[2] };
	if (close_all_but(kept, ARRAY_LENGTH(kept)) != 0)
		die_errno("zygote: cannot close inherited descriptors");
	/* The one thing of the host that stays within reach: its /proc, as a descriptor, for the truth check from outside. */
	zygote.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	zygote.own_pid_fd = pidfd_open(getpid(), 0);
	zygote.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (zygote.proc_fd < 0 || zygote.own_pid_fd < 0 || zygote.epoll_fd < 0 ||
	    setsockopt(sockets->codec, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(sockets->witness, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0)
		die_errno("zygote: cannot start");
	jail_table_open();
	zygote.inits_fd = inits_watch();
	root_tree_enter();
	seccomp_prepare(FILTER_SANDBOX);
	seccomp_prepare(FILTER_PROXIED);
	struct fault fault;
	if (privileges_prepare(&fault) != 0)
		die("zygote: %s", fault.detail);
	/* After the move: a sandbox's namespaces must differ from these. */
	if (namespace_ids(zygote.proc_fd, "self", zygote.outer_namespaces) != 0)
		die_errno("zygote: cannot read its own namespaces");
	zygote.mount_namespace_fd = openat(zygote.proc_fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
	zygote.uts_namespace_fd = openat(zygote.proc_fd, "self/ns/uts", O_RDONLY | O_CLOEXEC);
	if (zygote.mount_namespace_fd < 0 || zygote.uts_namespace_fd < 0)
		die_errno("zygote: cannot open its own namespaces");
	CLEANUP_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
		die_errno("zygote: cannot open /dev/null");
	zygote.network_maker_fd = network_stock_open(zygote.proc_fd);
	if (zygote.network_maker_fd >= 0)
		watch(zygote.network_maker_fd, FROM_NETWORK_MAKER, 0);
	watch(sockets->broker, FROM_BROKER, 0);
	watch(sockets->codec, FROM_CODEC, 0);
	watch(sockets->relay, FROM_RELAY, 0);
	if (write(ready_fd, "", 1) != 1)
		die_errno("zygote: the broker is gone");
	close(ready_fd);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(zygote.epoll_fd, events, EVENTS_MAX, run_timers());
		if (count < 0 && errno != EINTR)
			die_errno("zygote: cannot wait");
		for (int i = 0; i < count; i++)
			dispatch(&events[i]);
	}
}
