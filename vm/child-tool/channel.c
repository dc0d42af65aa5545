/* The tools channel as one of several processes uses it: they share one socket, and each must get the answer to its own question.
 *
 * C1  A line is written, and taken, by one process at a time: under a lock of the socket itself.
 * C2  Whoever waits looks at the first line without taking it. It takes its own; another's it leaves to its owner for LOOKS_MAX looks, and
 *     then drops: the owner is gone. Looks are counted, not time, which goes on while a sandbox is frozen. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "child-tool.h"

enum { LOOKS_MAX = 250, LOOK_AGAIN_MS = 20 };

int channel_open(void)
{
	const char *text = getenv("COHORT_FD");
	char *end = NULL;
	long fd = text == NULL ? -1 : strtol(text, &end, 10);
	int type = 0;
	socklen_t size = sizeof(type);
	if (fd < 0 || fd > 1 << 20 || *text == '\0' || *end != '\0')
		give_up(STATUS_NO_ANSWER, "there is no channel to ask over: COHORT_FD is not set. Only a task's own program has one, and what it starts");
	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
		give_up(STATUS_NO_ANSWER, "there is no channel to ask over: descriptor %ld is not it. Whoever started this program has closed it", fd);
	return (int)fd;
}

uint64_t channel_id(void)
{
	uint64_t id = 0;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		give_up(STATUS_NO_ANSWER, "no random number: %s", strerror(errno));
	/* Exact in a JSON reader that knows only doubles. */
	return id & ((UINT64_C(1) << 48) - 1);
}

static void set_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	/* Without it (a file system would not lack it, a socket might) only several askers at once could disturb one another. */
	while (fcntl(fd, F_SETLKW, &lock) != 0 && errno == EINTR)
		;
}

static void closed(void)
{
	give_up(STATUS_NO_ANSWER, "the channel was closed before an answer came");
}

void channel_send(int fd, const char *line, size_t size)
{
	set_lock(fd, F_WRLCK);
	while (size > 0) {
		ssize_t sent = send(fd, line, size, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			closed();
		line += sent;
		size -= (size_t)sent;
	}
	set_lock(fd, F_UNLCK);
}

void channel_offer(int fd, const char *line, size_t size)
{
	set_lock(fd, F_WRLCK);
	/* Such a line is sent whole or not at all. */
	ssize_t sent = send(fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		closed();
	set_lock(fd, F_UNLCK);
}

static void drop(int fd, size_t size)
{
	char bytes[4096];
	while (size > 0) {
		ssize_t count = recv(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes), 0);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			closed();
		size -= (size_t)count;
	}
}

struct first_line {
	uint64_t id;
	unsigned int looks; /* at this id, in a row */
};

/* True: it was ours, and is taken. */
static bool look(int fd, uint64_t id, struct answer *answer, struct first_line *seen)
{
	static char line[LINE_SIZE];
	ssize_t size = recv(fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (size <= 0)
		closed();
	const char *newline = memchr(line, '\n', (size_t)size);
	if (newline == NULL && (size_t)size == sizeof(line))
		give_up(STATUS_NO_ANSWER, "what came over the channel is no answer");
	if (newline == NULL)
		return false;
	size_t whole = (size_t)(newline - line) + 1;
	bool is_answer = answer_read(answer, line, whole);
	bool is_ours = is_answer && answer->id == id;
	seen->looks = is_answer && answer->id == seen->id ? seen->looks + 1 : 0;
	seen->id = answer->id;
	if (is_ours || !is_answer || seen->looks > LOOKS_MAX)
		drop(fd, whole);
	return is_ours;
}

void channel_receive(int fd, uint64_t id, struct answer *answer)
{
	const struct timespec again = { .tv_nsec = LOOK_AGAIN_MS * 1000000L };
	struct first_line seen = { .id = id };
	for (;;) {
		struct pollfd waited = { .fd = fd, .events = POLLIN };
		if (poll(&waited, 1, -1) < 0 && errno != EINTR)
			give_up(STATUS_NO_ANSWER, "cannot wait for an answer: %s", strerror(errno));
		set_lock(fd, F_WRLCK);
		bool ours = look(fd, id, answer, &seen);
		set_lock(fd, F_UNLCK);
		if (ours)
			return;
		nanosleep(&again, NULL);
	}
}
