/* EXEC: makes the descriptors of one process and hands them, with its arguments, to the init of its sandbox.
 *
 * While the sandbox is still being created the packet waits in the queue of its init. */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "codec-state.h"
#include "pty.h"

enum { CHILD_BLOB, CHILD_STDIN, CHILD_STDOUT, CHILD_STDERR, CHILD_TOOLS };
/* SO_PASSRIGHTS of linux/socket.h, which the build machine's may not know. */
enum { PASS_RIGHTS = 83 };

static int open_blob(const void *blob, size_t size)
{
	CLEANUP_FD int fd = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	/* pwrite: the reader finds the offset at 0. */
	ssize_t written = pwrite(fd, blob, size, 0);
	if (written >= 0 && (size_t)written != size)
		errno = ENOSPC;
	if (written < 0 || (size_t)written != size)
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -1;
	return steal_fd(&fd);
}

/* A pipe whose end at index `ours` goes to *our_fd, non-blocking, and the other to *child_fd. */
static int open_pipe(int *our_fd, int *child_fd, size_t ours)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*our_fd = ends[ours];
	*child_fd = ends[1 - ours];
	/* One inode for both ends: a child of another uid opens it again as /dev/stdout. */
	return fchmod(ends[0], 0666) < 0 || fcntl(*our_fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : 0;
}

static int open_null(int *child_fd)
{
	*child_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return *child_fd < 0 ? -1 : 0;
}

static int open_terminal(const struct codec *codec, struct exec *exec, int fds[EXEC_FDS_MAX])
{
	struct pty pty;
	if (pty_open(&pty, codec->config->devpts_fd, codec->frame.rows, codec->frame.columns) < 0)
		return -1;
	exec->out_watch[OUT_STDOUT].fd = pty.master;
	fds[CHILD_STDIN] = pty.slave;
	fds[CHILD_STDOUT] = fcntl(pty.slave, F_DUPFD_CLOEXEC, 3);
	fds[CHILD_STDERR] = fcntl(pty.slave, F_DUPFD_CLOEXEC, 3);
	return fds[CHILD_STDOUT] < 0 || fds[CHILD_STDERR] < 0 ? -1 : 0;
}

static int open_stdio(const struct codec *codec, struct exec *exec, int fds[EXEC_FDS_MAX])
{
	if (exec->pty)
		return open_terminal(codec, exec, fds);
	if (open_pipe(&exec->out_watch[OUT_STDOUT].fd, &fds[CHILD_STDOUT], 0) < 0)
		return -1;
	int stderr_opened = exec->out[OUT_STDERR].absent ? open_null(&fds[CHILD_STDERR]) : open_pipe(&exec->out_watch[OUT_STDERR].fd, &fds[CHILD_STDERR], 0);
	if (stderr_opened < 0)
		return -1;
	return exec->in_wanted[IN_STDIN] ? open_pipe(&exec->in_watch.fd, &fds[CHILD_STDIN], 1) : open_null(&fds[CHILD_STDIN]);
}

/* One socket for both directions. Its sender's buffer is the kernel's, charged to the child, and bounds what it can have under way. */
static int open_tools(struct exec *exec, int fds[EXEC_FDS_MAX])
{
	const int no = 0;
	int ends[2];
	if (exec->out[OUT_TOOLS].absent)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	exec->out_watch[OUT_TOOLS].fd = ends[0];
	fds[CHILD_TOOLS] = ends[1];
	/* Since 6.16 the kernel refuses descriptors at the sender; before, they are dropped where this end is read. */
	if (setsockopt(ends[0], SOL_SOCKET, PASS_RIGHTS, &no, sizeof no) < 0 && errno != ENOPROTOOPT)
		return -1;
	return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static bool watch_output(struct codec *codec, struct exec *exec)
{
	for (size_t index = 0; index < OUT_COUNT; index++) {
		bool also_input = index == OUT_TOOLS || (exec->pty && index == OUT_STDOUT);
		/* Edge-triggered: a pipe that must wait for its window costs no system call to be left alone. */
		uint32_t interest = EPOLLIN | EPOLLET | (also_input ? EPOLLOUT : 0u);
		if (exec->out_watch[index].fd >= 0 && !codec_watch(codec, &exec->out_watch[index], interest))
			return false;
	}
	return true;
}

static void describe(struct exec *exec, const struct frame *frame)
{
	exec->kind = frame->exec_kind;
	exec->pty = (frame->exec_flags & WIRE_EXEC_PTY) != 0;
	exec->in_wanted[IN_STDIN] = (frame->exec_flags & WIRE_EXEC_STDIN) != 0;
	exec->in_wanted[IN_TOOLS] = (frame->exec_flags & WIRE_EXEC_TOOLS) != 0;
	const bool present[OUT_COUNT] = {true, !exec->pty && exec->kind == EXEC_COMMAND, exec->in_wanted[IN_TOOLS]};
	const struct output_stream absent = {.absent = true, .ended = true, .fin_sent = true, .fin_ever_sent = true, .fin_acked = true};
	for (size_t index = 0; index < OUT_COUNT; index++)
		exec->out[index] = present[index] ? (struct output_stream){.window = frame->window_bytes} : absent;
	exec->oom_kills_before = exec->sandbox->oom_kills_seen;
	exec->pids_refused_before = exec->sandbox->pids_refused_seen;
	exec->started_us = boot_us();
}

/* Everything that is open is closed or given away, whatever the result. */
static bool hand_over(struct codec *codec, struct exec *exec)
{
	const struct frame *frame = &codec->frame;
	int fds[EXEC_FDS_MAX] = {-1, -1, -1, -1, -1};
	fds[CHILD_BLOB] = open_blob(codec->scratch.blob, frame->blob_size);
	if (fds[CHILD_BLOB] < 0 || open_stdio(codec, exec, fds) < 0 || open_tools(exec, fds) < 0 || !watch_output(codec, exec)) {
		for (size_t index = 0; index < EXEC_FDS_MAX; index++)
			close_fd(&fds[index]);
		return false;
	}
	struct exec_request request = {
		.kind = TO_INIT_EXEC, .exec_id = exec->id, .exec_kind = exec->kind, .flags = (exec->pty ? EXEC_PTY : 0u) | (exec->in_wanted[IN_TOOLS] ? EXEC_TOOLS : 0u),
		.argc = frame->argc, .envc = frame->envc, .blob_size = frame->blob_size,
	};
	memcpy(request.cwd, frame->cwd, strlen(frame->cwd) + 1);
	return init_send(codec, exec->sandbox, &request, sizeof request, fds, exec_fd_count(request.flags));
}

static bool refused(struct codec *codec, const struct sandbox *sandbox)
{
	const struct frame *frame = &codec->frame;
	bool is_archive = frame->exec_kind != EXEC_COMMAND;
	bool creating = sandbox->state == SANDBOX_CREATING && !sandbox->destroy_wanted;
	if (sandbox->ending || (sandbox->state != SANDBOX_ALIVE && !creating))
		answer_error(codec, frame->seq, E_SANDBOX_DEAD, 0, "%s is dead", sandbox->name);
	else if (sandbox->frozen && !is_archive)
		answer_error(codec, frame->seq, E_SANDBOX_FROZEN, 0, "%s stands still", sandbox->name);
	else if (sandbox->exec_count >= EXECS_MAX)
		answer_error(codec, frame->seq, E_LIMIT_EXECS, 0, "%s has %d processes that run or were not acknowledged", sandbox->name, EXECS_MAX);
	else if (frame->window_bytes > WINDOW_BYTES_MAX)
		answer_error(codec, frame->seq, E_BAD_FRAME, 0, "windowBytes is over %d", WINDOW_BYTES_MAX);
	else if (frame->rows > UINT16_MAX || frame->columns > UINT16_MAX)
		answer_error(codec, frame->seq, E_BAD_FRAME, 0, "rows or columns are over %d", UINT16_MAX);
	else if (is_archive && frame->exec_flags != 0)
		answer_error(codec, frame->seq, E_BAD_FRAME, 0, "a collect or a diff has neither pty nor stdin nor tools channel");
	else
		return false;
	return true;
}

void exec_start(struct codec *codec, struct sandbox *sandbox)
{
	uint32_t seq = codec->frame.seq;
	struct exec *exec = exec_find(sandbox, codec->frame.exec_id);
	bool starting = exec != NULL && exec->state == EXEC_STARTING;
	if ((exec != NULL && !starting) || exec_ended_before(sandbox, codec->frame.exec_id)) {
		answer_ok(codec, seq, NULL, 0);
		return;
	}
	if (starting) {
		if (!waiter_add(&exec->waiters, seq))
			answer_error(codec, seq, E_INTERNAL, ENOMEM, "too many wait for this process");
		return;
	}
	if (refused(codec, sandbox))
		return;
	exec = exec_add(sandbox, codec->frame.exec_id);
	if (exec == NULL) {
		answer_error(codec, seq, E_INTERNAL, ENOMEM, "no memory for another process");
		return;
	}
	describe(exec, &codec->frame);
	errno = 0;
	if (waiter_add(&exec->waiters, seq) && hand_over(codec, exec))
		return;
	int sys_errno = errno;
	if (sys_errno == EPIPE || sys_errno == ECONNRESET)
		answer_error(codec, seq, E_SANDBOX_DEAD, sys_errno, "the init of %s is gone", sandbox->name);
	else
		answer_error(codec, seq, E_EXEC_FAILED, sys_errno, "the streams of the process: %s", strerror(sys_errno));
	exec_remove(&codec->table, exec, false);
}
