/* The first process of a sandbox: pid 1 of its pid namespace, the child's uid,
 * fully confined. Starts programs as the codec asks, reports their ends, reaps.
 *
 * Owns: the execs of this sandbox. Does not own: streams (descriptors from the
 * codec that it only hands on), limits, its own life.
 * Invariants:
 *   I1 Every exec_request is answered by one STARTED; after a STARTED without
 *      error, and only then, by one EXITED.
 *   I2 The truth check runs in the very process that becomes the program, after
 *      its last change; a missing layer means that nothing is executed.
 *   I3 The init parses nothing that its children write: not a byte.
 *   I4 It ends when the codec's end closes; with it the kernel ends the namespace.
 *   I5 It belongs to no session until one claim; before it nothing is executed. */
#include "sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "exec-child.h"

enum { COLLECT_REAP_MS_MAX = 5000 };

struct running_exec {
	uint32_t id;         /* 0: the slot is free */
	pid_t pid;
	int start_fd;        /* the exec child's report; -1 once STARTED was sent */
	struct start_report report;
	uint64_t started_us;
	bool is_diff;
};

static struct sandbox_plan *plan;
static bool is_claimed, anything_started;
static int control_fd, child_signal_fd;
static struct running_exec execs[EXECS_MAX];

static void tell(const struct init_message *message)
{
	if (send_packet(control_fd, message, sizeof(*message), NULL, 0) != 0)
		_exit(EXIT_FAILURE);
}

static bool a_diff_runs(void)
{
	for (size_t i = 0; i < EXECS_MAX; i++)
		if (execs[i].id != 0 && execs[i].is_diff)
			return true;
	return false;
}

/* Whoever stood still for the last diff goes on. */
static void free_slot(struct running_exec *exec)
{
	exec->id = 0;
	if (exec->is_diff && !a_diff_runs())
		kill(-1, SIGCONT);
}

/* The child's pipe is at its end: it became the program, or it reported why not, or it was killed before. */
static void tell_started(struct running_exec *exec)
{
	struct init_message message = {
		.kind = FROM_INIT_STARTED, .exec_id = exec->id, .error = exec->report.error,
		.sys_errno = exec->report.sys_errno, .layers = exec->report.layers,
	};
	memcpy(message.detail, exec->report.detail, sizeof(message.detail));
	close_fd(&exec->start_fd);
	tell(&message);
	if (message.error != E_NONE)
		free_slot(exec);
}

static void read_report(struct running_exec *exec)
{
	for (;;) {
		struct start_report report;
		ssize_t count = read(exec->start_fd, &report, sizeof(report));
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Reports are smaller than PIPE_BUF, so they come whole. */
		if (count != (ssize_t)sizeof(report))
			break;
		exec->report = report;
	}
	tell_started(exec);
}

static void tell_exited(struct running_exec *exec, int wait_status, const struct rusage *usage)
{
	struct init_message message = {
		.kind = FROM_INIT_EXITED,
		.exec_id = exec->id,
		.layers = exec->report.layers,
		.wait_status = wait_status,
		.out_is_empty = remains_out_is_empty(plan->home),
		.full = remains_full(plan->home),
		.wall_us = boot_us() - exec->started_us,
		.user_us = (uint64_t)usage->ru_utime.tv_sec * 1000000u + (uint64_t)usage->ru_utime.tv_usec,
		.system_us = (uint64_t)usage->ru_stime.tv_sec * 1000000u + (uint64_t)usage->ru_stime.tv_usec,
		.max_rss_kib = (uint64_t)usage->ru_maxrss,
	};
	free_slot(exec);
	tell(&message);
}

/* Returns false when there is no child at all. */
static bool reap(void)
{
	for (;;) {
		struct rusage usage;
		int wait_status;
		pid_t pid = wait4(-1, &wait_status, WNOHANG, &usage);
		if (pid == 0 || (pid < 0 && errno == EINTR))
			return true;
		if (pid < 0)
			return false;
		for (size_t i = 0; i < EXECS_MAX; i++) {
			if (execs[i].id == 0 || execs[i].pid != pid)
				continue;
			if (execs[i].start_fd >= 0)
				read_report(&execs[i]);
			/* It is dead, so its pipe has ended; STARTED may have freed the slot. */
			if (execs[i].id != 0)
				tell_exited(&execs[i], wait_status, &usage);
			break;
		}
	}
}

/* Nothing may write to the output directory while it is read. From pid 1, kill(-1) reaches every other process in one pass that no
 * fork escapes. */
static void end_all_others(void)
{
	uint64_t deadline_ms = boot_ms() + COLLECT_REAP_MS_MAX;
	kill(-1, SIGKILL);
	while (reap() && boot_ms() < deadline_ms) {
		struct pollfd waited = { .fd = child_signal_fd, .events = POLLIN };
		struct signalfd_siginfo seen;
		poll(&waited, 1, 20);
		while (read(child_signal_fd, &seen, sizeof(seen)) > 0)
			;
	}
}

static void start_failed(const struct exec_request *request, int sys_errno, const char *why)
{
	if (request->exec_kind == EXEC_DIFF && !a_diff_runs())
		kill(-1, SIGCONT);
	struct init_message message = { .kind = FROM_INIT_STARTED, .exec_id = request->exec_id, .error = E_EXEC_FAILED, .sys_errno = sys_errno };
	format_text(message.detail, sizeof(message.detail), "%s: %s", why, strerror(sys_errno));
	tell(&message);
}

static void start_exec(const struct exec_request *request, const int fds[EXEC_FDS_MAX])
{
	struct running_exec *slot = NULL;
	int report[2];
	if (request->exec_kind == EXEC_COLLECT)
		end_all_others();
	for (size_t i = 0; i < EXECS_MAX && slot == NULL; i++)
		if (execs[i].id == 0)
			slot = &execs[i];
	/* What is compared must not move. In one pass that no fork escapes; the diff itself waits until all stand. */
	if (request->exec_kind == EXEC_DIFF)
		kill(-1, SIGSTOP);
	if (slot == NULL) {
		start_failed(request, EAGAIN, "too many programs run in this sandbox");
		return;
	}
	if (pipe2(report, O_CLOEXEC) != 0) {
		start_failed(request, errno, "cannot make a pipe");
		return;
	}
	uint64_t started_us = boot_us();
	pid_t pid = exec_child_start(plan, request, fds, report[1], !anything_started && request->exec_kind == EXEC_COMMAND);
	anything_started = true;
	close(report[1]);
	if (pid < 0) {
		int error_number = errno;
		close(report[0]);
		start_failed(request, error_number, "cannot fork");
		return;
	}
	if (fcntl(report[0], F_SETFL, O_NONBLOCK) != 0)
		_exit(EXIT_FAILURE);
	*slot = (struct running_exec){ .id = request->exec_id, .pid = pid, .start_fd = report[0], .started_us = started_us,
					.is_diff = request->exec_kind == EXEC_DIFF };
	/* What stands if it is killed before it says anything. */
	slot->report = (struct start_report){ .error = E_EXEC_FAILED, .detail = "it ended before it became the program" };
}

static void send_signal(const struct signal_request *request)
{
	int number = (int)request->signal_number;
	if (request->exec_id == 0) {
		kill(-1, number);
		return;
	}
	for (size_t i = 0; i < EXECS_MAX; i++)
		if (execs[i].id == request->exec_id && kill(-execs[i].pid, number) != 0)
			/* Not yet leader of its own group. */
			kill(execs[i].pid, number);
}

static void answer_probe(void)
{
	/* stdio, the control socket, the signalfd, and the pipes of execs that start. */
	struct init_message message = { .kind = FROM_INIT_PROBED, .layers = layers_seen_inside(plan, 5 + EXECS_MAX) };
	tell(&message);
}

/* Here and not by root from outside: to lower a limit of one's own needs no right at all. */
static void take_claim(const struct claim_order *order)
{
	sandbox_plan_name(plan, order->name);
	plan->limits = order->limits;
	/* Into the home as it is now: another disk may lie on the prepared one. */
	if (limits_of_session_set(&plan->limits) != 0 || chdir(plan->home) != 0)
		_exit(EXIT_FAILURE);
	is_claimed = true;
}

static void take_command(void)
{
	union {
		uint32_t kind;
		struct claim_order claim;
		struct exec_request exec;
		struct signal_request signal;
	} command;
	int fds[EXEC_FDS_MAX] = { -1, -1, -1, -1, -1 };
	size_t fd_count = 0;
	ssize_t size = receive_packet(control_fd, &command, sizeof(command), fds, ARRAY_LENGTH(fds), &fd_count);
	if (size < 0 && errno == EAGAIN)
		return;
	/* The codec is gone, or what came is none of its packets: nobody commands this sandbox any more. */
	if (size < (ssize_t)sizeof(command.signal))
		_exit(EXIT_FAILURE);
	if (command.kind == TO_INIT_CLAIM && size == (ssize_t)sizeof(command.claim) && fd_count == 0 && !is_claimed)
		take_claim(&command.claim);
	else if (command.kind == TO_INIT_EXEC && is_claimed && size == (ssize_t)sizeof(command.exec) && fd_count == exec_fd_count(command.exec.flags))
		start_exec(&command.exec, fds);
	else if (command.kind == TO_INIT_SIGNAL && size == (ssize_t)sizeof(command.signal) && fd_count == 0)
		send_signal(&command.signal);
	else if (command.kind == TO_INIT_PROBE && size == (ssize_t)sizeof(command.signal) && fd_count == 0)
		answer_probe();
	else
		_exit(EXIT_FAILURE);
	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
		close_fd(&fds[i]);
}

void init_main(struct sandbox_plan *own_plan, int own_control_fd)
{
	sigset_t all, child;
	sigfillset(&all);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	plan = own_plan;
	control_fd = own_control_fd;
	/* As its command line says; until here it was a clone of the zygote. */
	if (prctl(PR_SET_NAME, "cohort-init", 0, 0, 0) != 0 || sigprocmask(SIG_SETMASK, &all, NULL) != 0)
		_exit(EXIT_FAILURE);
	child_signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_signal_fd < 0)
		_exit(EXIT_FAILURE);
	for (;;) {
		struct pollfd waited[2 + EXECS_MAX] = { { .fd = control_fd, .events = POLLIN }, { .fd = child_signal_fd, .events = POLLIN } };
		struct running_exec *starting[EXECS_MAX];
		nfds_t count = 2;
		/* Only those that start: poll refuses more entries than this process may open files. */
		for (size_t i = 0; i < EXECS_MAX; i++) {
			if (execs[i].id == 0 || execs[i].start_fd < 0)
				continue;
			starting[count - 2] = &execs[i];
			waited[count++] = (struct pollfd){ .fd = execs[i].start_fd, .events = POLLIN };
		}
		if (poll(waited, count, -1) < 0 && errno != EINTR)
			_exit(EXIT_FAILURE);
		for (nfds_t i = 2; i < count; i++)
			if (waited[i].revents != 0)
				read_report(starting[i - 2]);
		if (waited[1].revents != 0) {
			struct signalfd_siginfo seen;
			while (read(child_signal_fd, &seen, sizeof(seen)) > 0)
				;
			reap();
		}
		if (waited[0].revents != 0)
			take_command();
	}
}
