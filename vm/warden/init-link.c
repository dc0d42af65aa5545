/* The socket of each sandbox's init. What comes from it is untrusted: a message that makes no sense ends its sandbox. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "codec-state.h"

enum { MESSAGES_PER_ROUND = 64 };

void init_close(struct codec *codec, struct sandbox *sandbox)
{
	/* Unlike every other descriptor here this one may have copies: a sandbox that the zygote was cloning when it was
	 * made. While one is open, closing ours leaves it registered, and epoll goes on pointing to a sandbox that is freed. */
	if (sandbox->init_watch.fd >= 0 && !codec_watch(codec, &sandbox->init_watch, 0))
		die_errno("cannot forget the socket of an init");
	packet_discard_all(&sandbox->to_init);
	close_fd(&sandbox->init_watch.fd);
	sandbox->to_init.socket_fd = -1;
}

static bool makes_sense(const struct exec *exec, const struct init_message *message)
{
	if (exec == NULL)
		return false;
	if (message->kind == FROM_INIT_STARTED)
		return exec->state == EXEC_STARTING && message->error <= E_INTERNAL;
	int status = message->wait_status;
	return exec->state == EXEC_RUNNING && (WIFEXITED(status) || WIFSIGNALED(status));
}

static void handle_message(struct codec *codec, struct sandbox *sandbox, struct init_message *message)
{
	message->detail[DETAIL_SIZE - 1] = '\0';
	if (message->kind == FROM_INIT_PROBED) {
		probe_inside(codec, sandbox, message->layers & LAYERS_ALL);
		return;
	}
	struct exec *exec = exec_find(sandbox, message->exec_id);
	if ((message->kind != FROM_INIT_STARTED && message->kind != FROM_INIT_EXITED) || !makes_sense(exec, message)) {
		sandbox_end(codec, sandbox, "its init sent a message that makes no sense");
		return;
	}
	if (message->kind == FROM_INIT_STARTED)
		exec_started(codec, exec, message);
	else
		exec_exited(codec, exec, message);
}

/* False: nothing more to read now. */
static bool receive_one(struct codec *codec, struct sandbox *sandbox)
{
	struct init_message message;
	/* recv, not recvmsg: descriptors that an init sends along are dropped by the kernel. */
	ssize_t size = recv(sandbox->init_watch.fd, &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (size <= 0) {
		/* Its death is the zygote's to tell; if it only closed the socket, it is ended a moment later. */
		sandbox->init_lost_ms = codec->now_ms;
		init_close(codec, sandbox);
		return false;
	}
	if (size == sizeof message)
		handle_message(codec, sandbox, &message);
	else
		sandbox_end(codec, sandbox, "its init sent a message of a wrong size");
	return true;
}

void init_drain(struct codec *codec, struct sandbox *sandbox)
{
	for (size_t round = 0; round < MESSAGES_PER_ROUND && sandbox->init_watch.fd >= 0; round++)
		if (!receive_one(codec, sandbox))
			return;
}

static void watch_init(struct codec *codec, struct sandbox *sandbox)
{
	codec_watch(codec, &sandbox->init_watch, EPOLLIN | (sandbox->to_init.count > 0 ? EPOLLOUT : 0u));
}

void init_event(struct codec *codec, struct sandbox *sandbox, uint32_t events)
{
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		init_drain(codec, sandbox);
	if (sandbox->init_watch.fd < 0 || (events & EPOLLOUT) == 0)
		return;
	/* EPIPE: its end is closed, which the next read tells. */
	if (packet_flush(&sandbox->to_init) < 0)
		packet_discard_all(&sandbox->to_init);
	watch_init(codec, sandbox);
}

bool init_send(struct codec *codec, struct sandbox *sandbox, const void *data, size_t size, int *fds, size_t fd_count)
{
	if (packet_send(&sandbox->to_init, data, size, fds, fd_count) < 0)
		return false;
	if (sandbox->init_watch.fd >= 0)
		watch_init(codec, sandbox);
	return true;
}
