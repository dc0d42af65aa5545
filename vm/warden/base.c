/* The vocabulary of base.h. Touches only what its caller hands it. */
#include "base.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

/* One write, so that lines of several processes do not mix. */
PRINTF_LIKE(2, 0) static void say(int error_number, const char *format, va_list arguments)
{
	char line[1024];
	size_t used = (size_t)snprintf(line, sizeof(line), "cohort-warden: ");
	int written = vsnprintf(line + used, sizeof(line) - used, format, arguments);
	if (written > 0)
		used += (size_t)written < sizeof(line) - used ? (size_t)written : sizeof(line) - used - 1;
	if (error_number != 0)
		used += (size_t)snprintf(line + used, sizeof(line) - used, ": %s", strerror(error_number));
	if (used >= sizeof(line))
		used = sizeof(line) - 1;
	line[used++] = '\n';
	/* stderr may be closed or full; there is nowhere else to say it. */
	ssize_t ignored = write(STDERR_FILENO, line, used);
	(void)ignored;
}

void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(0, format, arguments);
	va_end(arguments);
	_exit(EXIT_FAILURE);
}

void die_errno(const char *format, ...)
{
	int error_number = errno;
	va_list arguments;
	va_start(arguments, format);
	say(error_number, format, arguments);
	va_end(arguments);
	_exit(EXIT_FAILURE);
}

void complain(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(0, format, arguments);
	va_end(arguments);
}

int fail(struct fault *fault, enum warden_error error, int sys_errno, const char *format, ...)
{
	va_list arguments;
	fault->error = error;
	fault->sys_errno = sys_errno;
	va_start(arguments, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
	va_end(arguments);
	if (sys_errno != 0)
		append_text(fault->detail, sizeof(fault->detail), ": %s", strerror(sys_errno));
	return -1;
}

void format_text(char *text, size_t size, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text, size, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= size)
		die("a text of %d bytes does not fit into %zu: %s", length, size, text);
}

bool append_text(char *text, size_t size, const char *format, ...)
{
	size_t used = strnlen(text, size);
	if (used >= size)
		return false;
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text + used, size - used, format, arguments);
	va_end(arguments);
	return length >= 0 && (size_t)length < size - used;
}

int close_all_but(const int *kept, size_t count)
{
	for (unsigned int first = STDERR_FILENO + 1;;) {
		/* Up to the lowest one to keep from here on, then behind it. */
		unsigned int next = ~0u;
		for (size_t i = 0; i < count; i++)
			if (kept[i] >= (int)first && (unsigned int)kept[i] < next)
				next = (unsigned int)kept[i];
		if (next > first && syscall(__NR_close_range, first, next == ~0u ? ~0u : next - 1, 0) != 0)
			return -1;
		if (next == ~0u)
			return 0;
		first = next + 1;
	}
}

int write_file(int dir_fd, const char *path, const char *text)
{
	CLEANUP_FD int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	size_t length = strlen(text);
	ssize_t written = write(fd, text, length);
	if (written < 0)
		return -1;
	if ((size_t)written != length) {
		errno = EIO;
		return -1;
	}
	return 0;
}

ssize_t read_file(int dir_fd, const char *path, char *text, size_t size)
{
	CLEANUP_FD int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t used = 0;
	/* Kernel files come in pieces; a full buffer means that the rest would be lost. */
	while (used < size) {
		ssize_t count = read(fd, text + used, size - used);
		if (count < 0)
			return -1;
		if (count == 0) {
			text[used] = '\0';
			return (ssize_t)used;
		}
		used += (size_t)count;
	}
	errno = EFBIG;
	return -1;
}

int read_number(int dir_fd, const char *path, uint64_t *number)
{
	char text[64];
	if (read_file(dir_fd, path, text, sizeof(text)) < 0)
		return -1;
	if (strncmp(text, "max", 3) == 0) {
		*number = UINT64_MAX;
		return 0;
	}
	char *end = NULL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	if (end == text || errno != 0) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

uint64_t number_after(const char *text, const char *key)
{
	size_t key_length = strlen(key);
	for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, key, key_length) == 0 && line[key_length] == ' ')
			return strtoull(line + key_length + 1, NULL, 10);
	}
	return 0;
}

uint64_t boot_us(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
		die_errno("cannot read the clock");
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t boot_ms(void)
{
	return boot_us() / 1000u;
}

union descriptor_buffer {
	char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int send_packet(int socket_fd, const void *data, size_t size, const int *fds, size_t fd_count)
{
	union descriptor_buffer control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (fd_count > PACKET_FDS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
	}
	ssize_t sent;
	do
		sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

static size_t take_descriptors(struct msghdr *message, int *fds, size_t fds_max, bool *too_many)
{
	size_t count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t arrived = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < arrived; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
			if (count < fds_max) {
				fds[count++] = fd;
			} else {
				*too_many = true;
				close(fd);
			}
		}
	}
	return count;
}

ssize_t receive_packet(int socket_fd, void *data, size_t size, int *fds, size_t fds_max, size_t *fd_count)
{
	union descriptor_buffer control;
	struct iovec part = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	ssize_t received;
	/* A peer that ended with packets unread is told of once, before what it had sent, and then as an end: no other kind of end for the caller. */
	do
		received = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	while (received < 0 && (errno == EINTR || errno == ECONNRESET));
	if (fd_count != NULL)
		*fd_count = 0;
	if (received < 0)
		return -1;
	bool broken = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	size_t count = take_descriptors(&message, fds, fds_max, &broken);
	if (broken) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		errno = EBADMSG;
		return -1;
	}
	if (fd_count != NULL)
		*fd_count = count;
	return received;
}

void packet_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		die_errno("cannot make a socket pair");
}
