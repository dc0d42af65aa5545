/* Moves bytes between the pipes (or pty, or tools channel) of execs and their streams.
 *
 * R1  A pipe is read only into room of its window, and only what was reserved for: nothing read is ever dropped.
 * R2  An exec stands in the readable list while one of its pipes may have something and has room for it.
 * R3  After the reap, what was in the pipe then is read, and the pipe is closed: a grandchild cannot hold it open.
 * R4  A tools channel is read without room for control data: descriptors that a child sends along reach nobody. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "codec-state.h"

enum {
	READ_BYTES_MAX = 256 * 1024,
	PTY_READ_BYTES = 4096,          /* the most that one read of a pty answers */
	PTY_DRAIN_BYTES_MAX = 1 << 20,
	PTY_LINGER_MS = 100,            /* its line discipline hands bytes over from a work queue */
	END_OF_TRANSMISSION = 4,
};

void exec_make_readable(struct codec *codec, struct exec *exec)
{
	if (exec->in_readable || exec->removed)
		return;
	exec->in_readable = true;
	exec->readable_next = NULL;
	*(codec->last_readable ? &codec->last_readable->readable_next : &codec->first_readable) = exec;
	codec->last_readable = exec;
}

void exec_output_end(struct codec *codec, struct exec *exec, size_t index)
{
	if (exec->out[index].ended)
		return;
	close_fd(&exec->out_watch[index].fd);
	exec->out_readable[index] = false;
	exec->out[index].ended = true;
	if (index == OUT_STDOUT)
		exec->linger_until_ms = 0;
	if (index == OUT_TOOLS) {
		struct output_stream *tools = &exec->out[OUT_TOOLS];
		exec_input_close(codec, exec, IN_TOOLS); /* it was the same socket */
		/* Most programs never use it: no frame says so. */
		tools->fin_sent = tools->fin_ever_sent = tools->fin_acked = tools->ring.end == 0;
	}
	output_make_ready(codec, exec->sandbox);
	exec_settle(codec, exec);
}

static bool is_pty(const struct exec *exec, size_t index)
{
	return exec->pty && index == OUT_STDOUT;
}

static size_t available(const struct exec *exec, size_t index)
{
	int bytes = 0;
	if (is_pty(exec, index))
		return PTY_READ_BYTES; /* FIONREAD of a master does not count what is on its way */
	return ioctl(exec->out_watch[index].fd, FIONREAD, &bytes) < 0 || bytes < 0 ? 0 : (size_t)bytes;
}

/* Reads size bytes at most, or nothing; marks the end of the stream. False: no memory, try later. */
static bool read_some(struct codec *codec, struct exec *exec, size_t index, size_t size)
{
	struct output_stream *stream = &exec->out[index];
	if (!ring_reserve(&stream->ring, &codec->table.budget, size))
		return false;
	struct iovec parts[2];
	ring_space(&stream->ring, size, parts);
	ssize_t got = readv(exec->out_watch[index].fd, parts, parts[1].iov_len > 0 ? 2 : 1);
	if (got > 0) {
		ring_produce(&stream->ring, (size_t)got);
		output_make_ready(codec, exec->sandbox);
		return true;
	}
	bool draining = exec->drain_until[index] != UINT64_MAX;
	/* A socket counts what cannot be read, as a byte that was sent out of band: nothing waits for it behind the reap. */
	if (got < 0 && (errno == EINTR || (errno == EAGAIN && !(draining && index == OUT_TOOLS))))
		exec->out_readable[index] = errno == EINTR;
	else
		exec_output_end(codec, exec, index); /* the end of a pipe, or EIO: the last slave of a pty was closed */
	return true;
}

/* True: this pipe may have more that can be read now. */
static bool read_once(struct codec *codec, struct exec *exec, size_t index)
{
	struct output_stream *stream = &exec->out[index];
	if (stream->ended || !exec->out_readable[index])
		return false;
	uint64_t drain_left = exec->drain_until[index] - stream->ring.end;
	if (drain_left == 0) {
		exec_output_end(codec, exec, index);
		return false;
	}
	size_t room = output_room(stream);
	if (room == 0)
		return false; /* an ACK goes on with it */
	size_t waiting = available(exec, index);
	size_t size = waiting < room ? waiting : room;
	size = size < READ_BYTES_MAX ? size : READ_BYTES_MAX;
	size = size < drain_left ? size : (size_t)drain_left;
	uint64_t before = stream->ring.end;
	if (size > 0 && !read_some(codec, exec, index, size))
		return true;
	if (stream->ended)
		return false;
	/* A read of a socket stops where a descriptor was sent along, and goes on behind it. */
	if (!is_pty(exec, index) && stream->ring.end - before == waiting) {
		/* Emptied. What is written from now on makes a new edge; after a hang-up nobody can write. */
		exec->out_readable[index] = false;
		if (exec->out_hung_up[index])
			exec_output_end(codec, exec, index);
	}
	if (!stream->ended && exec->drain_until[index] == stream->ring.end)
		exec_output_end(codec, exec, index);
	return !stream->ended && exec->out_readable[index] && output_room(stream) > 0;
}

bool exec_read_all(struct codec *codec)
{
	struct exec *exec = codec->first_readable;
	codec->first_readable = codec->last_readable = NULL;
	size_t budget_before = codec->table.budget.used;
	bool more = false;
	while (exec != NULL) {
		struct exec *next = exec->readable_next;
		exec->in_readable = false;
		if (!exec->removed) {
			bool again = false;
			for (size_t index = 0; index < OUT_COUNT; index++)
				again = read_once(codec, exec, index) || again;
			if (again)
				exec_make_readable(codec, exec);
			more = more || again;
		}
		exec = next;
	}
	/* With all memory for output in use, only an ACK can help: wait for it, do not spin. */
	return more && (codec->table.budget.used < codec->table.budget.max - WINDOW_BYTES_MAX || codec->table.budget.used != budget_before);
}

void exec_output_event(struct codec *codec, struct exec *exec, size_t index, uint32_t events)
{
	if (exec->removed || exec->out_watch[index].fd < 0)
		return;
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		exec->out_readable[index] = true;
		exec->out_hung_up[index] = exec->out_hung_up[index] || (events & EPOLLHUP) != 0;
		exec_make_readable(codec, exec);
	}
	if ((events & EPOLLOUT) != 0 && is_pty(exec, index))
		exec_input_write(codec, exec, IN_STDIN);
	if ((events & EPOLLOUT) != 0 && index == OUT_TOOLS)
		exec_input_write(codec, exec, IN_TOOLS);
}

/* The process is gone: sets where each of its streams ends. */
void exec_drain(struct codec *codec, struct exec *exec)
{
	for (size_t index = 0; index < OUT_COUNT; index++) {
		if (exec->out[index].ended)
			continue;
		size_t left = is_pty(exec, index) ? PTY_DRAIN_BYTES_MAX : available(exec, index);
		if (left == 0) {
			exec_output_end(codec, exec, index);
			continue;
		}
		exec->drain_until[index] = exec->out[index].ring.end + left;
		exec->out_readable[index] = true;
		exec_make_readable(codec, exec);
		if (is_pty(exec, index)) {
			exec->linger_until_ms = codec->now_ms + PTY_LINGER_MS;
			codec->lingering = true;
		}
	}
}

/* True: it lingers on. */
static bool linger(struct codec *codec, struct exec *exec)
{
	if (exec->linger_until_ms == 0)
		return false;
	if (codec->now_ms < exec->linger_until_ms || exec->out_readable[OUT_STDOUT])
		return true;
	exec_output_end(codec, exec, OUT_STDOUT);
	return false;
}

void exec_linger_tick(struct codec *codec)
{
	if (!codec->lingering)
		return;
	bool any = false;
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
		for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next)
			any = linger(codec, exec) || any;
	codec->lingering = any;
}

/* Both ends of a pty and of a tools channel are one descriptor. */
static const int *input_fd(const struct exec *exec, size_t index)
{
	if (index == IN_TOOLS)
		return &exec->out_watch[OUT_TOOLS].fd;
	return exec->pty ? &exec->out_watch[OUT_STDOUT].fd : &exec->in_watch.fd;
}

void exec_input_close(struct codec *codec, struct exec *exec, size_t index)
{
	exec->in[index].closed = true;
	ring_free(&exec->in[index].ring, &codec->table.budget);
	if (index == IN_STDIN)
		close_fd(&exec->in_watch.fd);
}

/* A pty cannot be half closed; the character that means the end of a file to its line discipline stands in for it. */
static void finish_input(struct codec *codec, struct exec *exec, size_t index)
{
	int fd = *input_fd(exec, index);
	if (index == IN_TOOLS) {
		if (fd >= 0)
			shutdown(fd, SHUT_WR);
	} else if (exec->pty) {
		const char end = END_OF_TRANSMISSION;
		if (write(fd, &end, 1) < 0 && errno == EAGAIN)
			return; /* the next EPOLLOUT tries again */
	}
	exec_input_close(codec, exec, index);
}

void exec_input_write(struct codec *codec, struct exec *exec, size_t index)
{
	struct input_stream *stream = &exec->in[index];
	const int *fd = input_fd(exec, index);
	while (!stream->closed && *fd >= 0 && stream->ring.start < stream->ring.end) {
		struct msgpack_view parts[2];
		ring_view(&stream->ring, stream->ring.start, STDIN_BYTES_MAX, parts);
		ssize_t written = write(*fd, parts[0].bytes, parts[0].size);
		if (written < 0 && errno == EAGAIN)
			break;
		if (written < 0) {
			exec_input_close(codec, exec, index); /* the process reads no more */
			return;
		}
		ring_drop(&stream->ring, &codec->table.budget, stream->ring.start + (uint64_t)written);
		exec->in_ack_due[index] = true;
		output_make_ready(codec, exec->sandbox);
	}
	bool all_written = stream->ring.start == stream->ring.end;
	if (stream->fin && all_written && !stream->closed)
		finish_input(codec, exec, index);
	if (fd == &exec->in_watch.fd && *fd >= 0 && (!all_written || exec->in_watch.interest != 0))
		codec_watch(codec, &exec->in_watch, all_written ? 0 : EPOLLOUT);
}

void exec_stdin_event(struct codec *codec, struct exec *exec, uint32_t events)
{
	if (exec->removed || exec->in_watch.fd < 0)
		return;
	if ((events & EPOLLERR) != 0)
		exec_input_close(codec, exec, IN_STDIN);
	else
		exec_input_write(codec, exec, IN_STDIN);
}
