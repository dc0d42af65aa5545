/* What the witness tells of refused calls, on its way to the supervisor. Advisory: nothing waits for it, and what cannot go now stays in the
 * witness's socket, where it stops the witness from telling more, and makes it count instead. */
#include <string.h>
#include <sys/epoll.h>

#include "codec-state.h"

enum { NOTICES_PER_ROUND = 64, ASK_MS_MAX = 500 };

static struct sandbox *find(const struct codec *codec, uint32_t uid)
{
	for (struct sandbox *sandbox = codec->table.first; sandbox != NULL; sandbox = sandbox->next)
		if (sandbox->uid == uid && sandbox->state != SANDBOX_CREATING)
			return sandbox;
	return NULL;
}

static bool may_take(const struct codec *codec)
{
	const struct link *link = codec->supervisor;
	return codec->witness.fd >= 0 && link != NULL && link->out_end - link->out_start < LINK_OUT_TARGET;
}

static void all_told(struct codec *codec, struct sandbox *sandbox)
{
	for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next) {
		if (exec->denials_until_ms == 0)
			continue;
		exec->denials_until_ms = 0;
		exec_settle(codec, exec);
	}
}

void denials_pass_on(struct codec *codec)
{
	for (size_t round = 0; round < NOTICES_PER_ROUND && may_take(codec); round++) {
		struct denial_notice denial;
		ssize_t size = receive_packet(codec->witness.fd, &denial, sizeof denial, NULL, 0, NULL);
		if (size < 0 && errno == EAGAIN)
			return;
		/* The broker ends everything when the witness ends. */
		if (size != (ssize_t)sizeof denial)
			die("the witness is gone, or sent a packet of %zd bytes", size);
		struct sandbox *sandbox = find(codec, denial.uid);
		if (sandbox != NULL && denial.repeated == 0)
			all_told(codec, sandbox);
		if (sandbox == NULL || denial.repeated == 0)
			continue;
		sandbox->was_denied = true;
		uint8_t *space = supervisor_space(codec, FRAME_CONTROL_SIZE_MAX);
		if (space != NULL)
			supervisor_commit(codec, frame_write_denied(space, FRAME_CONTROL_SIZE_MAX, sandbox->name, &denial));
	}
}

void denials_watch(struct codec *codec)
{
	if (codec->witness.fd >= 0)
		codec_watch(codec, &codec->witness, may_take(codec) ? EPOLLIN : 0);
}

void denials_ask(struct codec *codec, struct exec *exec)
{
	const struct count_request request = { .uid = exec->sandbox->uid };
	denials_pass_on(codec);
	/* Most are refused nothing, and cost no question. */
	if (exec->sandbox->was_denied && send_packet(codec->witness.fd, &request, sizeof request, NULL, 0) == 0)
		exec->denials_until_ms = codec->now_ms + ASK_MS_MAX;
}

void denials_tick(struct codec *codec, struct sandbox *sandbox)
{
	for (struct exec *exec = sandbox->first_exec; exec != NULL; exec = exec->next) {
		if (exec->denials_until_ms == 0 || codec->now_ms < exec->denials_until_ms)
			continue;
		exec->denials_until_ms = 0;
		exec_settle(codec, exec);
	}
}
