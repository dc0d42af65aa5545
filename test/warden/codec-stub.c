/* The codec with stand-ins for its peers, so that it runs under sanitizers and without root: one process plays the
 * broker, the zygote and every init, and runs commands as plain children of its own.
 *
 *     codec-stub SOCKET FREEZE_MIN_MS EXIT_WHEN_IDLE_MS */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../../vm/warden/base.h"
#include "../../vm/warden/codec.h"

enum { STUBS_MAX = 1024, CHILDREN_MAX = 4096, COPIES_MAX = 16 };

struct stub {
	char name[SESSION_NAME_SIZE];
	int init_fd; /* -1: free */
};

struct stub_child {
	pid_t pid; /* 0: free */
	int stub;
	uint32_t exec_id;
};

static struct stub stubs[STUBS_MAX];
static struct stub_child children[CHILDREN_MAX];
static int zygote_fd;

static void send_or_die(int fd, const void *data, size_t size, const int *fds, size_t fd_count)
{
	/* EPIPE: the codec has ended, or gave an init up. */
	if (send_packet(fd, data, size, fds, fd_count) < 0 && errno != EPIPE && errno != ECONNRESET)
		die_errno("stub: send");
}

static int find_stub(const char *name)
{
	for (int index = 0; index < STUBS_MAX; index++)
		if (stubs[index].init_fd >= 0 && strcmp(stubs[index].name, name) == 0)
			return index;
	return -1;
}

static void create(const struct create_request *request)
{
	struct create_reply reply = {.kind = FROM_CREATE_REPLY, .seq = request->seq, .uid = 1000, .init_pid = 2, .layers = LAYERS_ALL};
	memcpy(reply.name, request->name, sizeof reply.name);
	if (strcmp(request->name, "refused") == 0) {
		reply.error = E_UID_EXHAUSTED;
		strcpy(reply.detail, "no uid is left");
		send_or_die(zygote_fd, &reply, sizeof reply, NULL, 0);
		return;
	}
	if (strcmp(request->name, "thin") == 0)
		reply.layers &= ~(1u << LAYER_SECCOMP);
	int pair[2], slot = 0;
	packet_pair(pair);
	while (stubs[slot].init_fd >= 0)
		slot++;
	memcpy(stubs[slot].name, request->name, sizeof stubs[slot].name);
	stubs[slot].init_fd = pair[0];
	send_or_die(zygote_fd, &reply, sizeof reply, &pair[1], 1);
	/* As in the zygote, whose clones hold what it held for a while: copies of the codec's end outlive the codec's own. */
	static int copies[COPIES_MAX], next_copy;
	if (copies[next_copy] > 0)
		close(copies[next_copy]);
	copies[next_copy] = pair[1];
	next_copy = (next_copy + 1) % COPIES_MAX;
}

static void kill_stub(int index, uint32_t reason)
{
	for (size_t child = 0; child < CHILDREN_MAX; child++) {
		if (children[child].pid == 0 || children[child].stub != index)
			continue;
		kill(-children[child].pid, SIGKILL);
		kill(children[child].pid, SIGKILL); /* it may not lead its group yet */
		waitpid(children[child].pid, NULL, 0);
		children[child].pid = 0;
	}
	close(stubs[index].init_fd);
	stubs[index].init_fd = -1;
	struct died_notice notice = {.kind = FROM_DIED, .reason = reason};
	memcpy(notice.name, stubs[index].name, sizeof notice.name);
	send_or_die(zygote_fd, &notice, sizeof notice, NULL, 0);
}

static void signal_stub(int index, int signal_number)
{
	for (size_t child = 0; child < CHILDREN_MAX; child++)
		if (children[child].pid != 0 && (index < 0 || children[child].stub == index))
			kill(-children[child].pid, signal_number);
}

static void operate(const struct op_request *request)
{
	struct op_reply reply = {.kind = FROM_OP_REPLY, .seq = request->seq, .op = request->op};
	memcpy(reply.name, request->name, sizeof reply.name);
	int index = find_stub(request->name);
	switch (request->op) {
	case OP_FREEZE: case OP_FREEZE_ALL: signal_stub(index, SIGSTOP); break;
	case OP_THAW: case OP_THAW_ALL: signal_stub(index, SIGCONT); break;
	case OP_KILL: case OP_DESTROY:
		if (index >= 0)
			kill_stub(index, request->reason);
		break;
	case OP_KILL_ALL:
		for (int each = 0; each < STUBS_MAX; each++)
			if (stubs[each].init_fd >= 0)
				kill_stub(each, request->reason);
		break;
	case OP_STATS:
		for (uint64_t value = 0; value < 7; value++)
			reply.values[value] = value == 4 && strcmp(request->name, "hungry") == 0 ? 1 : value == 5 || value == 4 ? 0 : value + 100;
		break;
	case OP_PROBE: reply.values[0] = LAYERS_ALL; break;
	default: die("stub: operation %u", request->op);
	}
	send_or_die(zygote_fd, &reply, sizeof reply, NULL, 0);
}

/* A grant of every id stands once it was asked for; the target "refused" never does. */
static void grant(const struct grant_request *request)
{
	struct op_reply reply = {.kind = FROM_OP_REPLY, .seq = request->seq, .op = OP_GRANT, .values = {1000 + request->grant_id, request->mount.mode}};
	memcpy(reply.name, request->name, sizeof reply.name);
	if (strcmp(request->mount.target, "refused") == 0) {
		reply.error = E_MOUNT_SOURCE_UNREADABLE;
		reply.sys_errno = EACCES;
	}
	send_or_die(zygote_fd, &reply, sizeof reply, NULL, 0);
}

/* Two processes held each grant but number 99, which never was. */
static void end_grant(const struct op_request *request)
{
	struct op_reply reply = {.kind = FROM_OP_REPLY, .seq = request->seq, .op = OP_REVOKE};
	struct grant_ended_notice notice = {.kind = FROM_GRANT_ENDED, .grant_id = request->grant_id, .processes_killed = 2};
	memcpy(reply.name, request->name, sizeof reply.name);
	memcpy(notice.name, request->name, sizeof notice.name);
	if (request->grant_id != 99) {
		reply.values[0] = 2;
		send_or_die(zygote_fd, &notice, sizeof notice, NULL, 0);
	}
	send_or_die(zygote_fd, &reply, sizeof reply, NULL, 0);
}

static void run_child(const struct exec_request *request, int fds[EXEC_FDS_MAX])
{
	char *blob = mmap(NULL, request->blob_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[0], 0);
	char **argv = calloc(request->argc + 1, sizeof *argv), **env = calloc(request->envc + 1, sizeof *env);
	char *at = blob;
	for (uint32_t index = 0; index < request->argc + request->envc; index++, at += strlen(at) + 1)
		*(index < request->argc ? &argv[index] : &env[index - request->argc]) = at;
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Out of the way of 0 to 3 first. */
	for (int fd = 1; fd < EXEC_FDS_MAX; fd++)
		if (fds[fd] >= 0)
			fds[fd] = fcntl(fds[fd], F_DUPFD, 16);
	for (int fd = 0; fd < 3; fd++)
		dup2(fds[fd + 1], fd);
	if ((request->flags & EXEC_PTY) != 0)
		ioctl(0, TIOCSCTTY, 0);
	if ((request->flags & EXEC_TOOLS) != 0)
		dup2(fds[4], 3);
	close_range((request->flags & EXEC_TOOLS) != 0 ? 4 : 3, ~0u, 0);
	if (chdir(request->cwd) == 0)
		execve(argv[0], argv, env);
	_exit(127);
}

static void start(int stub, const struct exec_request *request, int fds[EXEC_FDS_MAX])
{
	struct init_message message = {.kind = FROM_INIT_STARTED, .exec_id = request->exec_id, .layers = LAYERS_ALL};
	size_t slot = 0;
	while (children[slot].pid != 0)
		slot++;
	if (request->exec_id == 404) {
		message.error = E_EXEC_FAILED;
		message.sys_errno = ENOENT;
		strcpy(message.detail, "no such program");
	} else {
		children[slot] = (struct stub_child){.pid = fork(), .stub = stub, .exec_id = request->exec_id};
		if (children[slot].pid == 0)
			run_child(request, fds);
	}
	for (size_t index = 0; index < EXEC_FDS_MAX; index++)
		close_fd(&fds[index]);
	send_or_die(stubs[stub].init_fd, &message, sizeof message, NULL, 0);
	/* An init gone mad: an exit of what never was. */
	if (request->exec_id == 666) {
		message = (struct init_message){.kind = FROM_INIT_EXITED, .exec_id = 667};
		send_or_die(stubs[stub].init_fd, &message, sizeof message, NULL, 0);
	}
}

static void serve_init(int stub)
{
	union {
		struct exec_request exec;
		struct signal_request signal;
	} packet;
	int fds[EXEC_FDS_MAX] = {-1, -1, -1, -1, -1};
	size_t fd_count = 0;
	ssize_t size = receive_packet(stubs[stub].init_fd, &packet, sizeof packet, fds, EXEC_FDS_MAX, &fd_count);
	if (size == sizeof packet.exec && fd_count == exec_fd_count(packet.exec.flags)) {
		start(stub, &packet.exec, fds);
	} else if (size == sizeof packet.signal && packet.signal.kind == TO_INIT_PROBE) {
		struct init_message message = {.kind = FROM_INIT_PROBED, .layers = LAYERS_ALL};
		send_or_die(stubs[stub].init_fd, &message, sizeof message, NULL, 0);
	} else if (size == sizeof packet.signal) {
		for (size_t child = 0; child < CHILDREN_MAX; child++)
			if (children[child].pid != 0 && children[child].stub == stub &&
			    (packet.signal.exec_id == 0 || packet.signal.exec_id == children[child].exec_id))
				kill(-children[child].pid, (int)packet.signal.signal_number);
	} else if (size == 0) {
		kill_stub(stub, DEATH_ITSELF); /* the codec gave it up */
	} else if (size > 0) {
		die("stub: a packet of %zd bytes", size);
	}
}

static void reap(void)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (size_t child = 0; child < CHILDREN_MAX; child++) {
			if (children[child].pid != pid)
				continue;
			children[child].pid = 0;
			struct init_message message = {.kind = FROM_INIT_EXITED, .exec_id = children[child].exec_id, .wait_status = status, .wall_us = 1};
			send_or_die(stubs[children[child].stub].init_fd, &message, sizeof message, NULL, 0);
		}
	}
}

/* Everything that any command left behind is a child of this process now: it is their subreaper. */
static _Noreturn void end_peers(void)
{
	for (;;) {
		char pids[4096] = "";
		if (read_file(AT_FDCWD, "/proc/thread-self/children", pids, sizeof pids) <= 0)
			_exit(0);
		char *rest = NULL;
		for (char *pid = strtok_r(pids, " ", &rest); pid != NULL; pid = strtok_r(NULL, " ", &rest)) {
			kill(atoi(pid), SIGKILL);
			waitpid(atoi(pid), NULL, 0);
		}
	}
}

static _Noreturn void serve_peers(int broker_fd)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	static struct pollfd polled[STUBS_MAX + 2];
	static union {
		struct op_request op; /* the first two fields of all are the same */
		struct create_request create;
		struct grant_request grant;
	} request;
	for (;;) {
		polled[0] = (struct pollfd){.fd = broker_fd, .events = POLLIN};
		polled[1] = (struct pollfd){.fd = zygote_fd, .events = POLLIN};
		for (int index = 0; index < STUBS_MAX; index++)
			polled[index + 2] = (struct pollfd){.fd = stubs[index].init_fd, .events = POLLIN};
		poll(polled, STUBS_MAX + 2, 2);
		ssize_t size;
		if (polled[0].revents != 0) {
			size = recv(broker_fd, &request, sizeof request, MSG_DONTWAIT);
			if (size == 0)
				end_peers();
			if (size > 0 && request.op.op == OP_GRANT)
				grant(&request.grant);
			else if (size > 0)
				create(&request.create);
		}
		if (polled[1].revents != 0 && recv(zygote_fd, &request, sizeof request, MSG_DONTWAIT) > 0) {
			if (request.op.op == OP_CREATE)
				create(&request.create);
			else if (request.op.op == OP_REVOKE)
				end_grant(&request.op);
			else
				operate(&request.op);
		}
		for (int index = 0; index < STUBS_MAX; index++)
			if (stubs[index].init_fd >= 0 && polled[index + 2].revents != 0)
				serve_init(index);
		reap();
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0)
		die_errno("stub: listen");
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: codec-stub SOCKET FREEZE_MIN_MS EXIT_WHEN_IDLE_MS");
	int broker[2], zygote[2];
	packet_pair(broker);
	packet_pair(zygote);
	int listen_fd = listen_at(argv[1]);
	pid_t peers = fork();
	if (peers == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(listen_fd);
		close(broker[0]);
		close(zygote[0]);
		zygote_fd = zygote[1];
		for (int index = 0; index < STUBS_MAX; index++)
			stubs[index].init_fd = -1;
		serve_peers(broker[1]);
	}
	close(broker[1]);
	close(zygote[1]);
	fcntl(broker[0], F_SETFL, O_NONBLOCK);
	fcntl(zygote[0], F_SETFL, O_NONBLOCK);
	struct codec_config config = {
		.witness_fd = -1,
		.listen_fd = listen_fd, .broker_fd = broker[0], .zygote_fd = zygote[0], .devpts_fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.person_uid = getuid(), .warden_id = "0123456789abcdef0123456789abcdef", .binary_sha256 = "stub",
		.exit_when_idle_ms = strtoull(argv[3], NULL, 10), .memory_total_bytes = 1 << 30,
		.freeze_after_ms_min = strtoull(argv[2], NULL, 10), .freeze_after_ms_max = 3600000,
		.kill_after_ms_min = strtoull(argv[2], NULL, 10), .kill_after_ms_max = 3600000,
	};
	int status = codec_main(&config);
	close(broker[0]);
	close(zygote[0]);
	waitpid(peers, NULL, 0);
	unlink(argv[1]);
	return status;
}
