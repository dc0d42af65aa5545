/* The small vocabulary of the root half: ending with a reason, faults that
 * travel to the supervisor, descriptors that close themselves, packets. */
#ifndef COHORT_BASE_H
#define COHORT_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "ipc.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Ends this process (never its caller's descriptors) with one line on stderr. */
_Noreturn void die(const char *format, ...) PRINTF_LIKE(1, 2);
/* The same with ": <errno text>" behind it. */
_Noreturn void die_errno(const char *format, ...) PRINTF_LIKE(1, 2);
void complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* Why something was refused: what ERROR will carry. */
struct fault {
	enum warden_error error;
	int sys_errno;
	char detail[DETAIL_SIZE];
};

/* Fills the fault and returns -1; the text of sys_errno (if not 0) is appended. */
int fail(struct fault *fault, enum warden_error error, int sys_errno, const char *format, ...) PRINTF_LIKE(4, 5);

static inline void close_fd(int *fd)
{
	int saved_errno = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

#define CLEANUP_FD __attribute__((cleanup(close_fd)))

static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

/* Closes every descriptor above stderr that is not in the list (which may hold -1). */
int close_all_but(const int *kept, size_t count);

/* Whole writes and reads of small kernel files, relative to dir_fd. read_file ends the text with NUL
 * and returns its length; more than size - 1 bytes is EFBIG. Both return -1 with errno. */
int write_file(int dir_fd, const char *path, const char *text);
ssize_t read_file(int dir_fd, const char *path, char *text, size_t size);
/* The unsigned number that a small file holds ("max" is UINT64_MAX), or -1 with errno. */
int read_number(int dir_fd, const char *path, uint64_t *number);
/* The number behind "key " at the start of a line; 0 when absent. */
uint64_t number_after(const char *text, const char *key);

/* printf into a buffer that must hold it all; dies when it does not. */
void format_text(char *text, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
/* printf at the end of what is there; false when it does not fit. */
bool append_text(char *text, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* CLOCK_BOOTTIME: deadlines go on while the machine sleeps. */
uint64_t boot_ms(void);
uint64_t boot_us(void);

enum { PACKET_FDS_MAX = MOUNTS_MAX + 2 };

/* One packet with its descriptors. EINTR is retried; -1 with errno. */
int send_packet(int socket_fd, const void *data, size_t size, const int *fds, size_t fd_count);
/* Returns the size, 0 at the end of the other side, -1 with errno. Descriptors get CLOEXEC; a packet that
 * was cut, or carries more than fds_max descriptors, is EBADMSG with nothing left open. */
ssize_t receive_packet(int socket_fd, void *data, size_t size, int *fds, size_t fds_max, size_t *fd_count);

void packet_pair(int pair[2]);

#endif
