/* The unprivileged half of the warden: one thread around epoll.
 *
 * Owns the loop and its clock; what an event means is decided by the file that owns its source.
 * E1  One round: events, then pipes, then the supervisor's socket, then timers, then memory of what was removed.
 * E2  Nothing in a round blocks; the only wait is epoll_wait. */
#include "codec.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "codec-state.h"

enum {
	EVENTS_PER_ROUND = 256,
	TICK_MS = 20,
	SLOW_TICK_MS = 1000,
	SHUTDOWN_FLUSH_MS = 2000,
	WAIT_MS_MAX = 60000,
};

/* All output that is not acknowledged, of all sandboxes together. */
static const size_t ring_bytes_max = (size_t)512 << 20;

#define OWNER(watch, type, member) ((type *)(void *)((char *)(watch) - offsetof(type, member)))

bool codec_watch(struct codec *codec, struct watch *watch, uint32_t interest)
{
	if (watch->interest == interest)
		return true;
	int operation = watch->interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	struct epoll_event event = {.events = interest, .data.ptr = watch};
	if (epoll_ctl(codec->epoll_fd, operation, watch->fd, &event) < 0)
		return false;
	watch->interest = interest;
	return true;
}

void codec_end(struct codec *codec, int exit_status)
{
	codec->ended = true;
	codec->exit_status = exit_status;
}

static void dispatch(struct codec *codec, struct watch *watch, uint32_t events)
{
	if (watch->fd < 0)
		return; /* closed earlier in this round */
	switch (watch->kind) {
	case WATCH_LISTENER: links_accept(codec); break;
	case WATCH_LINK: link_event(codec, OWNER(watch, struct link, watch), events); break;
	case WATCH_BROKER: broker_event(codec, events); break;
	case WATCH_ZYGOTE: zygote_event(codec, events); break;
	case WATCH_WITNESS: denials_pass_on(codec); break;
	case WATCH_INIT: init_event(codec, OWNER(watch, struct sandbox, init_watch), events); break;
	case WATCH_STDOUT: exec_output_event(codec, OWNER(watch, struct exec, out_watch[OUT_STDOUT]), OUT_STDOUT, events); break;
	case WATCH_STDERR: exec_output_event(codec, OWNER(watch, struct exec, out_watch[OUT_STDERR]), OUT_STDERR, events); break;
	case WATCH_TOOLS: exec_output_event(codec, OWNER(watch, struct exec, out_watch[OUT_TOOLS]), OUT_TOOLS, events); break;
	case WATCH_STDIN: exec_stdin_event(codec, OWNER(watch, struct exec, in_watch), events); break;
	}
}

static bool any_guest(const struct codec *codec)
{
	for (size_t index = 0; index < LINK_GUESTS_MAX; index++)
		if (codec->guests[index] != NULL)
			return true;
	return codec->accept_again_ms != 0;
}

static bool idle(const struct codec *codec)
{
	return codec->supervisor == NULL && codec->table.first == NULL && codec->config->exit_when_idle_ms != 0;
}

static uint64_t min_ms(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int wait_ms(const struct codec *codec)
{
	uint64_t next_ms = min_ms(codec->now_ms + WAIT_MS_MAX, lease_next_ms(&codec->lease));
	if (codec->table.first != NULL || codec->operations_count > 0 || any_guest(codec))
		next_ms = min_ms(next_ms, codec->now_ms + SLOW_TICK_MS);
	if (codec->lingering || codec->shutdown_ms != 0)
		next_ms = min_ms(next_ms, codec->now_ms + TICK_MS);
	if (idle(codec))
		next_ms = min_ms(next_ms, codec->idle_since_ms + codec->config->exit_when_idle_ms);
	return next_ms > codec->now_ms ? (int)(next_ms - codec->now_ms) : 0;
}

static void tick_slowly(struct codec *codec)
{
	operations_tick(codec);
	sandboxes_tick(codec);
	links_tick(codec);
}

static void tick(struct codec *codec, uint64_t *slow_tick_ms)
{
	lease_act(codec, lease_tick(&codec->lease, codec->now_ms));
	exec_linger_tick(codec);
	if (codec->now_ms >= *slow_tick_ms) {
		*slow_tick_ms = codec->now_ms + SLOW_TICK_MS / 2;
		tick_slowly(codec);
	}
	if (codec->supervisor != NULL || codec->table.first != NULL)
		codec->idle_since_ms = codec->now_ms;
	else if (idle(codec) && codec->now_ms >= codec->idle_since_ms + codec->config->exit_when_idle_ms)
		codec_end(codec, EXIT_SUCCESS);
	if (codec->shutdown_ms == 0)
		return;
	const struct link *link = codec->supervisor;
	bool flushed = link == NULL || link->out_start == link->out_end;
	if (flushed || codec->now_ms >= codec->shutdown_ms + SHUTDOWN_FLUSH_MS)
		codec_end(codec, EXIT_SUCCESS);
}

static void collect(struct codec *codec)
{
	if (codec->table.removed != NULL || codec->table.removed_execs != NULL) {
		output_collect(codec);
		table_collect(&codec->table);
	}
	links_collect(codec);
}

static void run(struct codec *codec)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	uint64_t slow_tick_ms = 0;
	bool more = false;
	while (!codec->ended) {
		int count = epoll_wait(codec->epoll_fd, events, EVENTS_PER_ROUND, more ? 0 : wait_ms(codec));
		if (count < 0 && errno != EINTR)
			die_errno("epoll_wait");
		codec->now_ms = boot_ms();
		for (int index = 0; index < count; index++)
			dispatch(codec, events[index].data.ptr, events[index].events);
		more = exec_read_all(codec);
		supervisor_flush(codec);
		denials_watch(codec);
		tick(codec, &slow_tick_ms);
		collect(codec);
	}
}

static void release(struct codec *codec)
{
	while (codec->table.first != NULL)
		table_remove(&codec->table, codec->table.first);
	if (codec->supervisor != NULL)
		link_close(codec, codec->supervisor, NULL);
	for (size_t index = 0; index < LINK_GUESTS_MAX; index++)
		if (codec->guests[index] != NULL)
			link_close(codec, codec->guests[index], NULL);
	packet_discard_all(&codec->to_broker);
	packet_discard_all(&codec->to_zygote);
	collect(codec);
	close_fd(&codec->epoll_fd);
	free(codec);
}

int codec_main(const struct codec_config *config)
{
	struct codec *codec = calloc(1, sizeof *codec);
	if (codec == NULL)
		die("no memory for the codec");
	/* A child that closed its stdin, a supervisor that hung up: an errno, not a signal. */
	signal(SIGPIPE, SIG_IGN);
	codec->config = config;
	codec->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (codec->epoll_fd < 0)
		die_errno("epoll_create1");
	codec->now_ms = codec->idle_since_ms = boot_ms();
	codec->table.budget.max = ring_bytes_max;
	codec->listener = (struct watch){.kind = WATCH_LISTENER, .fd = config->listen_fd};
	codec->broker = (struct watch){.kind = WATCH_BROKER, .fd = config->broker_fd};
	codec->zygote = (struct watch){.kind = WATCH_ZYGOTE, .fd = config->zygote_fd};
	codec->witness = (struct watch){.kind = WATCH_WITNESS, .fd = config->witness_fd};
	codec->to_broker = (struct packet_queue){.socket_fd = config->broker_fd, .count_max = SANDBOXES_MAX + OPERATIONS_OF_REQUESTS_MAX};
	codec->to_zygote = (struct packet_queue){.socket_fd = config->zygote_fd, .count_max = OPERATIONS_MAX};
	if (!codec_watch(codec, &codec->listener, EPOLLIN) || !codec_watch(codec, &codec->broker, EPOLLIN) || !codec_watch(codec, &codec->zygote, EPOLLIN))
		die_errno("epoll_ctl");
	run(codec);
	int exit_status = codec->exit_status;
	release(codec);
	return exit_status;
}
