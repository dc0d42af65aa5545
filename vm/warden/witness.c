/* The witness: a process of its own that answers what the system call filters of the sandboxes refuse, and counts it.
 *
 * Owns: one listener for each sandbox, counts that were not told yet. Does not own: any decision. The filter refuses; the kernel asks here
 * only which error the caller sees, and would say ENOSYS if nobody answered.
 * Invariants:
 *   W1 Every answer is EPERM. No flag and no descriptor is ever given with one, so nothing here can make a call happen.
 *   W2 Of a caller it reads what the kernel says: registers, the process's name and number. Never its memory.
 *   W3 Who is refused too often waits for the answer, and so do only the threads that asked; nothing is dropped.
 *   W4 What the codec does not take now is counted and told later; what is kept for one sandbox is bounded.
 *   W5 It holds a listener as long as anybody could call: a listener that a child made in its place could let the calls happen. So its end
 *      ends everything, and the filter refuses children listeners of their own besides. */
#include "witness.h"

#include "denial-tally.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1ul
#endif

enum {
	ANSWERS_PER_WINDOW = 64, WINDOW_MS = 20,
	EVENTS_MAX = 64,
	STUCK_US = 2000,
};

struct watched {
	struct watched *previous, *next;
	int listener_fd;           /* -1: every process of the sandbox has ended */
	uint32_t uid;
	uint32_t answers;          /* in this window */
	struct tally tally;
	uint64_t window_ms;
	bool resting;              /* nobody is answered until the window's end */
	bool asked;                /* the codec waits for what was counted */
	uint32_t thread;           /* who called last, and what it was called: mostly, who calls next */
	char comm[DENIAL_PROGRAM_SIZE];
	struct caller caller;
};

static const struct witness_config *config;
static int epoll_fd;
static struct watched *first;
static uint64_t now_ms;

static void let_go(struct watched *watched)
{
	/* A clone of the zygote may hold a copy for a moment, and would keep the registration alive. */
	if (watched->listener_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watched->listener_fd, NULL) != 0)
		die_errno("witness: cannot stop watching a listener");
	close_fd(&watched->listener_fd);
}

static void free_watched(struct watched *watched)
{
	if (watched->previous != NULL)
		watched->previous->next = watched->next;
	else
		first = watched->next;
	if (watched->next != NULL)
		watched->next->previous = watched->previous;
	tally_free(&watched->tally);
	free(watched);
}

static void listen_to(const struct watched *watched, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = (void *)(uintptr_t)watched };
	if (epoll_ctl(epoll_fd, operation, watched->listener_fd, &event) != 0)
		die_errno("witness: cannot watch a listener");
}

/* Returns false when there is no more to come. */
static bool take_listener(void)
{
	struct listener_notice notice;
	int listener_fd = -1;
	size_t fd_count = 0;
	ssize_t size = receive_packet(config->zygote_fd, &notice, sizeof(notice), &listener_fd, 1, &fd_count);
	if (size == 0)
		return false;
	struct watched *watched = size == (ssize_t)sizeof(notice) && fd_count == 1 ? calloc(1, sizeof(*watched)) : NULL;
	if (watched == NULL)
		/* Without a holder of its listener a sandbox would see ENOSYS where it was promised EPERM. */
		die("witness: cannot take the listener of a sandbox");
	*watched = (struct watched){ .listener_fd = listener_fd, .uid = notice.uid, .next = first };
	tally_start(&watched->tally, config->codec_fd, notice.uid);
	if (first != NULL)
		first->previous = watched;
	first = watched;
	/* Who waits for the answer runs next, on this processor: 6.6 and later; else it is only slower. */
	ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	listen_to(watched, EPOLL_CTL_ADD, EPOLLIN);
	return true;
}

static struct watched *find(uint32_t uid)
{
	struct watched *watched = first;
	while (watched != NULL && watched->uid != uid)
		watched = watched->next;
	return watched;
}

static void answer_codec(struct watched *watched)
{
	const struct denial_notice all_told = { .uid = watched->uid };
	if (!tally_tell(&watched->tally, now_ms))
		return;
	if (send_packet(config->codec_fd, &all_told, sizeof(all_told), NULL, 0) == 0)
		watched->asked = false;
	else if (errno != EAGAIN)
		die_errno("witness: the codec is gone");
}

static void on_codec(void)
{
	struct count_request request;
	ssize_t size = receive_packet(config->codec_fd, &request, sizeof(request), NULL, 0, NULL);
	if (size < 0 && errno == EAGAIN)
		return;
	/* A reset is an end, too: the codec had not read all that it was told. */
	if (size == 0 || (size < 0 && errno == ECONNRESET)) {
		/* It ended. The broker knows whether in order, and ends us. */
		if (epoll_ctl(epoll_fd, EPOLL_CTL_DEL, config->codec_fd, NULL) != 0)
			die_errno("witness: cannot stop watching the codec");
		return;
	}
	if (size != (ssize_t)sizeof(request))
		die("witness: a count_request of %zd bytes", size);
	struct watched *watched = find(request.uid);
	if (watched == NULL)
		return;
	watched->asked = true;
	tally_hurry(&watched->tally);
	answer_codec(watched);
}

static void know_caller(struct watched *watched, uint32_t thread)
{
	char comm[DENIAL_PROGRAM_SIZE];
	bool known = caller_comm(config->proc_fd, thread, comm);
	if (known && watched->thread == thread && strcmp(watched->comm, comm) == 0)
		return;
	watched->thread = thread;
	memcpy(watched->comm, comm, sizeof(comm));
	caller_find(config->proc_fd, thread, &watched->caller);
}

static void on_denial(struct watched *watched, const struct seccomp_notif *call)
{
	struct denial_kind kind = { .count = 1 };
	struct seccomp_notif_resp answer = { .id = call->id, .error = -EPERM };
	know_caller(watched, call->pid);
	kind.caller = watched->caller;
	denial_text(&call->data, kind.call, kind.detail);
	/* Told before it is answered: the end of a process comes behind what it was refused. */
	tally_count(&watched->tally, &kind, now_ms);
	/* ENOENT: it was killed meanwhile. */
	if (ioctl(watched->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0 && errno != ENOENT)
		die_errno("witness: cannot answer");
}

static void on_listener(struct watched *watched, uint32_t events)
{
	struct seccomp_notif call = { 0 };
	if ((events & EPOLLIN) == 0) {
		/* Nobody is left who could call. */
		let_go(watched);
		tally_hurry(&watched->tally);
		tally_tell(&watched->tally, now_ms);
		return;
	}
	if (watched->answers == ANSWERS_PER_WINDOW && now_ms < watched->window_ms + WINDOW_MS) {
		watched->resting = true;
		listen_to(watched, EPOLL_CTL_MOD, 0);
		return;
	}
	if (now_ms >= watched->window_ms + WINDOW_MS) {
		watched->window_ms = now_ms;
		watched->answers = 0;
	}
	watched->answers++;
	/* Who called may have been killed since: then this would wait for the next one, and is ended by the alarm. */
	if (ioctl(watched->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0)
		on_denial(watched, &call);
	else if (errno == EINTR || errno == ENOENT)
		/* It cost an alarm; so many would be others' time. */
		watched->answers = ANSWERS_PER_WINDOW;
	else
		die_errno("witness: cannot hear a call");
}

static void run_timers(struct watched *watched)
{
	tally_refill(&watched->tally, now_ms);
	if (watched->asked)
		answer_codec(watched);
	else
		tally_tell(&watched->tally, now_ms);
	if (watched->resting && watched->listener_fd >= 0 && now_ms >= watched->window_ms + WINDOW_MS) {
		watched->resting = false;
		listen_to(watched, EPOLL_CTL_MOD, EPOLLIN);
	}
}

/* Returns whether some sandbox waits for the clock. */
static bool run_all_timers(void)
{
	bool waits = false;
	struct watched *next = NULL;
	for (struct watched *watched = first; watched != NULL; watched = next) {
		next = watched->next;
		run_timers(watched);
		if (watched->listener_fd < 0 && watched->tally.used == 0)
			free_watched(watched);
		else
			waits = waits || watched->resting || watched->asked || !tally_rests(&watched->tally);
	}
	return waits;
}

static void ignore_alarm(int number)
{
	(void)number;
}

/* While it is set, a signal comes again and again: however late a system call begins to wait, it does not wait for long. */
static void set_alarm(long interval_us)
{
	const struct itimerval timer = { { 0, interval_us }, { 0, interval_us } };
	if (setitimer(ITIMER_REAL, &timer, NULL) != 0)
		die_errno("witness: cannot set an alarm");
}

int witness_main(const struct witness_config *own_config)
{
	const struct sigaction alarm_action = { .sa_handler = ignore_alarm };
	bool waits = false;
	config = own_config;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event from_zygote = { .events = EPOLLIN }, from_codec = { .events = EPOLLIN, .data.ptr = &config };
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, config->zygote_fd, &from_zygote) != 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, config->codec_fd, &from_codec) != 0 || sigaction(SIGALRM, &alarm_action, NULL) != 0)
		die_errno("witness: cannot start");
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(epoll_fd, events, EVENTS_MAX, waits ? WINDOW_MS / 2 : -1);
		if (count < 0 && errno != EINTR)
			die_errno("witness: cannot wait");
		now_ms = boot_ms();
		set_alarm(STUCK_US);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &config)
				on_codec();
			else if (events[i].data.ptr != NULL)
				on_listener(events[i].data.ptr, events[i].events);
			else if (!take_listener())
				return EXIT_SUCCESS;
		}
		set_alarm(0);
		if (waits || count > 0)
			waits = run_all_timers();
	}
}
