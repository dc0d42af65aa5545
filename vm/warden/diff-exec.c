/* A diff in the sandbox: finds the three views of one staged grant below ~/mnt, waits until the others stand still, and compares. Runs
 * confined, with the child's own rights: what it writes is as little to be trusted as what the child writes. */
#include "base.h"
#include "diff.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of a process that waits for a disk; then the diff may show it half way. */
enum { STOP_WAIT_MS_MAX = 500 };
/* The old side's files are read to know them again, so that much more is read than written. */
enum { HASHED_PER_BYTE = 8 };

/* A process that the warden froze never takes the SIGSTOP that waits for it; another takes it as soon as it is no longer in the kernel. */
static bool is_frozen(const char *process, const char *thread)
{
	char path[DETAIL_SIZE], text[4096];
	format_text(path, sizeof(path), "/proc/%s/task/%s/status", process, thread);
	if (read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return true;
	const char *pending = strstr(text, "\nShdPnd:");
	return pending != NULL && (strtoull(pending + strlen("\nShdPnd:"), NULL, 16) & (UINT64_C(1) << (SIGSTOP - 1))) != 0;
}

/* True when this thread is stopped, or at its end. The state stands behind the last parenthesis: the name before it is the child's. */
static bool is_still(const char *process, const char *thread)
{
	char path[DETAIL_SIZE], text[1024];
	if (strlen(process) + strlen(thread) + 32 > sizeof(path))
		return true;
	format_text(path, sizeof(path), "/proc/%s/task/%s/stat", process, thread);
	if (read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return true;
	const char *state = strrchr(text, ')');
	char letter = state != NULL && state[1] == ' ' ? state[2] : 'T';
	return strchr("TtZXx", letter) != NULL || (letter == 'S' && is_frozen(process, thread));
}

static bool process_is_still(const char *process)
{
	char path[DETAIL_SIZE];
	bool still = true;
	format_text(path, sizeof(path), "/proc/%.20s/task", process);
	DIR *threads = opendir(path);
	if (threads == NULL)
		return true;
	for (struct dirent *entry = readdir(threads); entry != NULL && still; entry = readdir(threads))
		still = entry->d_name[0] == '.' || is_still(process, entry->d_name);
	closedir(threads);
	return still;
}

/* The init sent SIGSTOP; a process that is in the kernel stops when it leaves it. */
static bool others_are_still(void)
{
	DIR *processes = opendir("/proc");
	bool still = true;
	if (processes == NULL)
		return true;
	for (struct dirent *entry = readdir(processes); entry != NULL && still; entry = readdir(processes)) {
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid > 1 && pid != getpid())
			still = process_is_still(entry->d_name);
	}
	closedir(processes);
	return still;
}

static int open_view(int home_fd, const char *view, const char *target, const char *part)
{
	char path[DETAIL_SIZE];
	format_text(path, sizeof(path), "mnt/%s%.130s%s", view, target, part);
	/* mnt and .staged are sealed and the warden's: no link is among them. */
	return openat(home_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int diff_archive(const char *home, int fd, char *argv[])
{
	static struct diff diff;
	const char *target = argv[0];
	if (target[0] == '\0' || target[0] == '.' || strchr(target, '/') != NULL || strlen(target) >= MOUNT_TARGET_SIZE)
		return EXIT_FAILURE;
	uint64_t deadline_ms = boot_ms() + STOP_WAIT_MS_MAX;
	while (!others_are_still() && boot_ms() < deadline_ms)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	CLEANUP_FD int home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP_FD int new_fd = open_view(home_fd, "", target, "");
	CLEANUP_FD int upper_fd = open_view(home_fd, ".staged/", target, "/upper");
	CLEANUP_FD int old_fd = open_view(home_fd, ".staged/", target, "/lower");
	if (new_fd < 0 || upper_fd < 0 || old_fd < 0)
		return EXIT_FAILURE;
	struct entry upper;
	entry_look(upper_fd, ".", &upper);
	diff.out.fd = fd;
	diff.bytes_left = strtoull(argv[1], NULL, 10);
	diff.files_left = strtoull(argv[2], NULL, 10);
	diff.hash_bytes_left = diff.bytes_left > UINT64_MAX / HASHED_PER_BYTE ? UINT64_MAX : diff.bytes_left * HASHED_PER_BYTE;
	diff.has_upper = true;
	struct sides root = { .new_fd = new_fd, .upper_fd = upper_fd, .old_fd = old_fd, .is_merge = true, .since_ns = upper.born_ns, .prefix = "" };
	return diff_trees(&diff, &root) ? EXIT_SUCCESS : EXIT_FAILURE;
}
