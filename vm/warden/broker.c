/* The broker: root in the host's mount namespace, the parent of the zygote and
 * the codec, and the keeper of the instance.
 *
 * Owns: the uid counter, the workers that prepare mounts. Does not own: any
 * sandbox. Invariants:
 *   B1 Reads fixed structs only; a path in one is handed to a process that has
 *      only the person's rights, and never opened here.
 *   B2 A creation with mounts runs in a process of its own, so that a file system
 *      that hangs delays nobody else.
 *   B3 When the codec or the zygote ends, everything ends. */
#include "broker.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "codec.h"
#include "sandbox.h"

enum { WORKERS_MAX = 64 };

/* Creations whose mounts are being prepared. */
static struct worker {
	pid_t pid;           /* 0: free */
	struct create_request request;
} workers[WORKERS_MAX];

static struct worker *find_worker(pid_t pid)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (workers[i].pid == pid)
			return &workers[i];
	return NULL;
}

static void refuse(const struct broker *broker, const struct create_request *request, const struct fault *fault)
{
	struct create_reply reply = { .kind = FROM_CREATE_REPLY, .seq = request->seq, .error = fault->error, .sys_errno = fault->sys_errno };
	memcpy(reply.name, request->name, sizeof(reply.name));
	memcpy(reply.detail, fault->detail, sizeof(reply.detail));
	if (send_packet(broker->codec_fd, &reply, sizeof(reply), NULL, 0) != 0)
		complain("cannot answer the codec: %s", strerror(errno));
}

static void pass_on(const struct broker *broker, const struct create_request *request, const int *fds)
{
	struct fault fault;
	if (send_packet(broker->zygote_fd, request, create_request_size(request->mount_count), fds, create_fd_count(request)) != 0) {
		fail(&fault, E_INTERNAL, errno, "cannot reach the zygote");
		refuse(broker, request, &fault);
	}
}

_Noreturn static void worker_main(const struct broker *broker, struct create_request *request)
{
	struct fault fault = { 0 };
	int fds[CREATE_FDS_MAX];
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		_exit(EXIT_FAILURE);
	bool good = mount_sources_prepare(broker->person, request, fds, &fault) == 0;
	if (good && request->network == NETWORK_PROXIED) {
		fds[request->mount_count] = endpoint_open(broker->person, request, &fault);
		good = fds[request->mount_count] >= 0;
	}
	if (good)
		pass_on(broker, request, fds);
	else
		refuse(broker, request, &fault);
	_exit(EXIT_SUCCESS);
}

static void on_create(const struct broker *broker, struct worker *worker)
{
	static struct create_request request;
	struct fault fault = { 0 };
	ssize_t size = receive_packet(broker->codec_fd, &request, sizeof(request), NULL, 0, NULL);
	if (size <= 0)
		return; /* its end shows on its pidfd */
	if (size < (ssize_t)create_request_size(0) || request.mount_count > MOUNTS_MAX || size != (ssize_t)create_request_size(request.mount_count))
		die("the codec sent a create_request of %zd bytes", size);
	request.name[SESSION_NAME_SIZE - 1] = '\0';
	if (create_fd_count(&request) == 0) {
		pass_on(broker, &request, NULL);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		worker_main(broker, &request);
	if (pid < 0) {
		fail(&fault, E_SETUP_FAILED, errno, "cannot start a process that prepares the mounts");
		refuse(broker, &request, &fault);
		return;
	}
	worker->pid = pid;
	/* Without the mounts: this is kept to answer for a worker that was killed. */
	memcpy(&worker->request, &request, create_request_size(0));
}

/* The zygote asks ahead, with one byte. */
static void on_zygote(const struct broker *broker)
{
	struct uid_block block;
	struct fault fault = { 0 };
	char byte;
	if (receive_packet(broker->zygote_fd, &byte, sizeof(byte), NULL, 0, NULL) <= 0)
		return; /* its end shows as SIGCHLD */
	if (uids_take_block(broker->uids, &block, &fault) != 0) {
		block = (struct uid_block){ .op = OP_UIDS, .error = fault.error, .sys_errno = fault.sys_errno };
		memcpy(block.detail, fault.detail, sizeof(block.detail));
	}
	if (send_packet(broker->zygote_fd, &block, sizeof(block), NULL, 0) != 0)
		complain("cannot reach the zygote: %s", strerror(errno));
}

static const char *role_of(const struct broker *broker, pid_t pid)
{
	return pid == broker->codec_pid ? "codec" : pid == broker->zygote_pid ? "zygote" : pid == broker->relay_pid ? "relay" : "witness";
}

/* Returns true when the warden shall end, with *status. */
static bool reap(const struct broker *broker, int *status)
{
	for (;;) {
		int wait_status;
		pid_t pid = waitpid(-1, &wait_status, WNOHANG);
		if (pid <= 0)
			return false;
		if (pid == broker->codec_pid || pid == broker->zygote_pid || pid == broker->witness_pid || pid == broker->relay_pid) {
			bool asked = pid == broker->codec_pid && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
			if (!asked)
				complain("the %s ended (wait status %#x); every sandbox of this warden is ended with it", role_of(broker, pid), (unsigned int)wait_status);
			*status = asked ? EXIT_SUCCESS : EXIT_FAILURE;
			return true;
		}
		struct worker *worker = find_worker(pid);
		if (worker == NULL)
			continue;
		worker->pid = 0;
		/* It has answered, unless it was killed or died. */
		struct fault fault;
		if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) {
			fail(&fault, E_INTERNAL, 0, "the process that prepares its mounts ended (wait status %#x)", (unsigned int)wait_status);
			refuse(broker, &worker->request, &fault);
		}
	}
}

int broker_serve(struct broker *broker)
{
	for (;;) {
		/* With all workers busy, further requests wait in the socket. */
		struct worker *free_worker = find_worker(0);
		struct pollfd waited[] = {
			{ .fd = broker->signal_fd, .events = POLLIN },
			{ .fd = free_worker != NULL ? broker->codec_fd : -1, .events = POLLIN },
			{ .fd = broker->zygote_fd, .events = POLLIN },
		};
		if (poll(waited, ARRAY_LENGTH(waited), -1) < 0 && errno != EINTR)
			die_errno("cannot wait");
		if (waited[0].revents != 0) {
			struct signalfd_siginfo seen;
			int status = EXIT_SUCCESS;
			if (read(broker->signal_fd, &seen, sizeof(seen)) == (ssize_t)sizeof(seen) && seen.ssi_signo != SIGCHLD)
				return EXIT_SUCCESS;
			if (reap(broker, &status))
				return status;
		}
		if (free_worker != NULL && (waited[1].revents & POLLIN) != 0)
			on_create(broker, free_worker);
		if ((waited[2].revents & POLLIN) != 0)
			on_zygote(broker);
		if (((waited[1].revents | waited[2].revents) & ~POLLIN) != 0)
			/* An end closed; its SIGCHLD follows. Do not spin until then. */
			poll(NULL, 0, 1);
	}
}
