/* Connections: accept, HELLO, frames in.
 *
 * Owns the sockets and their buffers; knows nothing of what a frame asks for (supervisor-requests.c does).
 * L1  At most one supervisor; a newer HELLO replaces it. Guests are few and have GUEST_MS for their HELLO.
 * L2  The memory of a closed link lives until links_collect. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "codec-state.h"

enum {
	GUEST_MS = 5000,
	GUEST_IN_BYTES = 4096,
	SUPERVISOR_IN_BYTES = FRAME_HEADER_SIZE + FRAME_SIZE_MAX + 64 * 1024,
	RECEIVE_BYTES_MAX = 256 * 1024,
	ACCEPT_PAUSE_MS = 200,
};

static void forget_guest(struct codec *codec, const struct link *link)
{
	for (size_t index = 0; index < LINK_GUESTS_MAX; index++)
		if (codec->guests[index] == link)
			codec->guests[index] = NULL;
}

void link_close(struct codec *codec, struct link *link, const char *why)
{
	if (link->watch.fd < 0)
		return;
	if (link == codec->supervisor) {
		/* What it was answered before still helps whoever looks for the reason. */
		if (link->out_end > link->out_start)
			(void)!send(link->watch.fd, link->out + link->out_start, link->out_end - link->out_start, MSG_NOSIGNAL | MSG_DONTWAIT);
		codec->supervisor = NULL;
	}
	if (why != NULL)
		complain("connection closed: %s", why);
	forget_guest(codec, link);
	close_fd(&link->watch.fd);
	link->next_closed = codec->closed_links;
	codec->closed_links = link;
}

void link_fail(struct codec *codec, struct link *link, int sys_errno)
{
	/* A peer that hung up is no news. */
	link_close(codec, link, sys_errno == EPIPE || sys_errno == ECONNRESET ? NULL : strerror(sys_errno));
}

void links_collect(struct codec *codec)
{
	while (codec->closed_links != NULL) {
		struct link *link = codec->closed_links;
		codec->closed_links = link->next_closed;
		free(link->in);
		free(link->out);
		free(link);
	}
}

void supervisor_violation(struct codec *codec, const char *what)
{
	if (codec->supervisor != NULL)
		link_close(codec, codec->supervisor, what);
}

static bool peer_allowed(const struct codec *codec, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == codec->config->person_uid || peer.uid == 0;
}

static void refuse_link(int fd, enum warden_error error, const char *message)
{
	uint8_t frame[FRAME_CONTROL_SIZE_MAX];
	size_t size = frame_write_error(frame, sizeof frame, 0, error, message, 0);
	if (send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		complain("a refused connection did not take its ERROR");
}

static void take_guest(struct codec *codec, int fd)
{
	size_t slot = 0;
	while (slot < LINK_GUESTS_MAX && codec->guests[slot] != NULL)
		slot++;
	struct link *link = slot < LINK_GUESTS_MAX ? calloc(1, sizeof *link) : NULL;
	uint8_t *in = link != NULL ? malloc(GUEST_IN_BYTES) : NULL;
	if (in == NULL) {
		complain("a connection was refused: too many are waiting for their HELLO");
		free(link);
		close(fd);
		return;
	}
	link->watch = (struct watch){.kind = WATCH_LINK, .fd = fd};
	link->in = in;
	link->in_capacity = GUEST_IN_BYTES;
	link->accepted_ms = codec->now_ms;
	codec->guests[slot] = link;
	if (!codec_watch(codec, &link->watch, EPOLLIN))
		link_close(codec, link, "it cannot be watched");
}

void links_accept(struct codec *codec)
{
	for (size_t round = 0; round < LINK_GUESTS_MAX; round++) {
		int fd = accept4(codec->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				return;
			/* Most likely no descriptor is left: the connection stays in the backlog meanwhile. */
			complain("accept: %s", strerror(errno));
			codec->accept_again_ms = codec->now_ms + ACCEPT_PAUSE_MS;
			codec_watch(codec, &codec->listener, 0);
			return;
		}
		if (peer_allowed(codec, fd)) {
			take_guest(codec, fd);
			continue;
		}
		complain("a connection of another user was refused");
		refuse_link(fd, E_NOT_AUTHORIZED, "this warden serves another user");
		close(fd);
	}
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
	return value < min ? min : value > max ? max : value;
}

static void greet(struct codec *codec, struct link *link)
{
	const struct codec_config *config = codec->config;
	const struct frame *frame = &codec->frame;
	static const char *const features[] = {"pty", "collect", "mounts", "grants", "lease", "deadline", "probe"};
	uint8_t *in = realloc(link->in, SUPERVISOR_IN_BYTES);
	if (in == NULL) {
		link_close(codec, link, "no memory");
		return;
	}
	link->in = in;
	link->in_capacity = SUPERVISOR_IN_BYTES;
	link->greeted = true;
	forget_guest(codec, link);
	if (codec->supervisor != NULL)
		link_close(codec, codec->supervisor, "a newer supervisor came");
	codec->supervisor = link;
	codec->link_round++;
	struct hello_answer answer = {
		.warden_id = config->warden_id, .binary_sha256 = config->binary_sha256,
		.features = features, .features_count = ARRAY_LENGTH(features),
		.window_bytes_max = WINDOW_BYTES_MAX, .memory_total_bytes = config->memory_total_bytes,
	};
	uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
	if (space != NULL)
		supervisor_commit(codec, frame_write_hello_ok(space, FRAME_CONTROL_SIZE_MAX, &answer));
	uint64_t freeze_after_ms = clamp(frame->freeze_after_ms, config->freeze_after_ms_min, config->freeze_after_ms_max);
	uint64_t kill_after_ms = clamp(frame->kill_after_ms, config->kill_after_ms_min, config->kill_after_ms_max);
	lease_act(codec, lease_take(&codec->lease, freeze_after_ms, kill_after_ms, codec->now_ms));
	output_restart(codec);
}

static void handle_frame(struct codec *codec, struct link *link, const uint8_t *bytes, size_t size)
{
	if (!frame_decode(&codec->frame, &codec->scratch, bytes, size)) {
		link_close(codec, link, "a frame breaks the protocol");
	} else if (link->greeted) {
		lease_act(codec, lease_heard(&codec->lease, codec->now_ms));
		request_handle(codec);
	} else if (codec->frame.type != FRAME_HELLO) {
		link_close(codec, link, "its first frame is not HELLO");
	} else if (codec->frame.version != WIRE_VERSION) {
		refuse_link(link->watch.fd, E_BAD_VERSION, "this warden speaks version 2");
		link_close(codec, link, "it speaks another version");
	} else {
		greet(codec, link);
	}
}

/* Handles every whole frame of the buffer; what is left moves to its front. */
static void handle_frames(struct codec *codec, struct link *link)
{
	size_t at = 0;
	while (link->watch.fd >= 0 && link->in_size - at >= FRAME_HEADER_SIZE) {
		const uint8_t *header = link->in + at;
		size_t size = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
		size_t size_max = link->greeted ? FRAME_SIZE_MAX : GUEST_IN_BYTES - FRAME_HEADER_SIZE;
		if (size == 0 || size > size_max) {
			link_close(codec, link, "a frame's length is out of bounds");
			return;
		}
		if (link->in_size - at < FRAME_HEADER_SIZE + size)
			break;
		at += FRAME_HEADER_SIZE;
		handle_frame(codec, link, link->in + at, size);
		at += size;
	}
	if (link->watch.fd < 0 || at == 0)
		return;
	link->in_size -= at;
	memmove(link->in, link->in + at, link->in_size);
}

static void receive(struct codec *codec, struct link *link)
{
	size_t room = link->in_capacity - link->in_size;
	ssize_t size = recv(link->watch.fd, link->in + link->in_size, room < RECEIVE_BYTES_MAX ? room : RECEIVE_BYTES_MAX, MSG_DONTWAIT);
	if (size > 0) {
		link->in_size += (size_t)size;
		handle_frames(codec, link);
	} else if (size == 0) {
		link_close(codec, link, link->in_size > 0 ? "it ended in the middle of a frame" : NULL);
	} else if (errno != EAGAIN && errno != EINTR) {
		link_fail(codec, link, errno);
	}
}

void link_event(struct codec *codec, struct link *link, uint32_t events)
{
	if (link->watch.fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		receive(codec, link);
	/* EPOLLOUT needs nothing here: supervisor_flush (link-output.c) runs at the end of every round. */
}

void links_tick(struct codec *codec)
{
	for (size_t index = 0; index < LINK_GUESTS_MAX; index++) {
		struct link *link = codec->guests[index];
		if (link != NULL && codec->now_ms >= link->accepted_ms + GUEST_MS)
			link_close(codec, link, "it sent no HELLO");
	}
	if (codec->accept_again_ms != 0 && codec->now_ms >= codec->accept_again_ms) {
		codec->accept_again_ms = 0;
		codec_watch(codec, &codec->listener, EPOLLIN);
	}
}
