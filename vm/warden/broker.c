/* The broker: root in the host's mount namespace, the parent of the zygote and
 * the codec, and the keeper of the instance.
 *
 * Owns: the uid counter, the workers that prepare mounts. Does not own: any
 * sandbox. Invariants:
 *   B1 Reads fixed structs only; a path in one is handed to a process that has
 *      only the person's rights, and never opened here.
 *   B2 A creation with mounts, and a grant, runs in a process of its own, so that a file system
 *      that hangs delays nobody else.
 *   B3 When the codec or the zygote ends, everything ends. */
#include "broker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "codec.h"
#include "sandbox.h"

/* An opener has 5 s and a copy 30; a creation may have sixteen mounts. Then the codec has given it up. */
enum { WORKERS_MAX = 64, WORKER_MS_MAX = 60000, LOOK_MS = 1000 };

/* What the codec asks for; the first three fields of both are the same. */
union job {
	struct create_request create;
	struct grant_request grant;
};

/* Creations and grants whose mounts are being prepared. */
static struct worker {
	pid_t pid;           /* 0: free */
	uint32_t seq, op;    /* kept to answer for a worker that was killed */
	char name[SESSION_NAME_SIZE];
	uint64_t until_ms;
} workers[WORKERS_MAX];

static struct worker *find_worker(pid_t pid)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (workers[i].pid == pid)
			return &workers[i];
	return NULL;
}

static void refuse(const struct broker *broker, uint32_t op, uint32_t seq, const char *name, const struct fault *fault)
{
	struct create_reply created = { .kind = FROM_CREATE_REPLY, .seq = seq, .error = fault->error, .sys_errno = fault->sys_errno };
	struct op_reply granted = { .kind = FROM_OP_REPLY, .seq = seq, .op = op, .error = fault->error, .sys_errno = fault->sys_errno };
	bool is_creation = op == OP_CREATE;
	memcpy(created.name, name, sizeof(created.name));
	memcpy(created.detail, fault->detail, sizeof(created.detail));
	memcpy(granted.name, name, sizeof(granted.name));
	memcpy(granted.detail, fault->detail, sizeof(granted.detail));
	if (send_packet(broker->codec_fd, is_creation ? (const void *)&created : &granted, is_creation ? sizeof(created) : sizeof(granted), NULL, 0) != 0)
		complain("cannot answer the codec: %s", strerror(errno));
}

static size_t job_size(const union job *job)
{
	return job->create.op == OP_CREATE ? create_request_size(job->create.mount_count) : sizeof(job->grant);
}

/* Fills a detached mount for each that is asked for, and what else create_fd_count counts; returns their number. */
static int prepare(const struct broker *broker, union job *job, int fds[CREATE_FDS_MAX], struct fault *fault)
{
	bool is_creation = job->create.op == OP_CREATE;
	uint32_t count = is_creation ? job->create.mount_count : 1;
	for (uint32_t i = 0; i < count; i++) {
		struct mount_request *mount = is_creation ? &job->create.mounts[i] : &job->grant.mount;
		fds[i] = mount_source_prepare(broker->person, broker->idmap_probe_fd, mount, fault);
		if (fds[i] < 0)
			return -1; /* the process ends and closes the others */
	}
	if (is_creation && job->create.network == NETWORK_PROXIED) {
		fds[count] = endpoint_open(broker->person, &job->create, fault);
		if (fds[count++] < 0)
			return -1;
	}
	if (is_creation && job->create.limits.disk_kind == DISK_EXT4) {
		fds[count] = disk_image_mount(broker->uids->directory, &job->create.limits, fault);
		if (fds[count++] < 0)
			return -1;
	}
	return (int)count;
}

static void pass_on(const struct broker *broker, const union job *job, int *fds, size_t fd_count)
{
	struct fault fault;
	if (send_packet(broker->zygote_fd, job, job_size(job), fds, fd_count) != 0) {
		fail(&fault, E_INTERNAL, errno, "cannot reach the zygote");
		refuse(broker, job->create.op, job->create.seq, job->create.name, &fault);
	}
	/* At once: a mount that somebody has open cannot be revoked. */
	for (size_t i = 0; i < fd_count; i++)
		close_fd(&fds[i]);
}

_Noreturn static void worker_main(const struct broker *broker, union job *job)
{
	struct fault fault = { 0 };
	int fds[CREATE_FDS_MAX];
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		_exit(EXIT_FAILURE);
	int count = prepare(broker, job, fds, &fault);
	if (count < 0)
		refuse(broker, job->create.op, job->create.seq, job->create.name, &fault);
	else
		pass_on(broker, job, fds, (size_t)count);
	_exit(EXIT_SUCCESS);
}

static void on_request(const struct broker *broker, struct worker *worker)
{
	static union job job;
	struct fault fault = { 0 };
	ssize_t size = receive_packet(broker->codec_fd, &job, sizeof(job), NULL, 0, NULL);
	if (size <= 0)
		return; /* its end shows on its pidfd */
	if (size < (ssize_t)create_request_size(0) || (job.create.op != OP_CREATE && job.create.op != OP_GRANT) ||
	    (job.create.op == OP_CREATE && job.create.mount_count > MOUNTS_MAX) || size != (ssize_t)job_size(&job))
		die("the codec sent a request of %zd bytes", size);
	job.create.name[SESSION_NAME_SIZE - 1] = '\0';
	if (job.create.op == OP_CREATE && create_fd_count(&job.create) == 0) {
		pass_on(broker, &job, NULL, 0);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		worker_main(broker, &job);
	if (pid < 0) {
		fail(&fault, E_SETUP_FAILED, errno, "cannot start a process that prepares the mounts");
		refuse(broker, job.create.op, job.create.seq, job.create.name, &fault);
		return;
	}
	*worker = (struct worker){ .pid = pid, .seq = job.create.seq, .op = job.create.op, .until_ms = boot_ms() + WORKER_MS_MAX };
	memcpy(worker->name, job.create.name, sizeof(worker->name));
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
			refuse(broker, worker->op, worker->seq, worker->name, &fault);
		}
	}
}

/* Each wait on a file system of somebody else's ends. True: some worker is at work. */
static bool end_late_workers(void)
{
	bool any = false;
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		any = any || workers[i].pid > 0;
		if (workers[i].pid > 0 && boot_ms() >= workers[i].until_ms)
			kill(workers[i].pid, SIGKILL);
	}
	return any;
}

int broker_serve(struct broker *broker)
{
	struct fault fault;
	CLEANUP_FD int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	broker->idmap_probe_fd = idmap_open(proc_fd, broker->person, broker->person->uid, &fault);
	if (broker->idmap_probe_fd < 0)
		complain("%s; what children are given is copied", fault.detail);
	for (;;) {
		/* With all workers busy, further requests wait in the socket. */
		struct worker *free_worker = find_worker(0);
		struct pollfd waited[] = {
			{ .fd = broker->signal_fd, .events = POLLIN },
			{ .fd = free_worker != NULL ? broker->codec_fd : -1, .events = POLLIN },
			{ .fd = broker->zygote_fd, .events = POLLIN },
		};
		if (poll(waited, ARRAY_LENGTH(waited), end_late_workers() ? LOOK_MS : -1) < 0 && errno != EINTR)
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
			on_request(broker, free_worker);
		if ((waited[2].revents & POLLIN) != 0)
			on_zygote(broker);
		if (((waited[1].revents | waited[2].revents) & ~POLLIN) != 0)
			/* An end closed; its SIGCHLD follows. Do not spin until then. */
			poll(NULL, 0, 1);
	}
}
