/* What happens between the init's fork and the program: stdio, terminal,
 * descriptors, truth check, execve. Runs with the child's own rights, confined. */
#include "diff.h"
#include "exec-child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { FD_TOOLS = 3, PLACED_MAX = EXEC_FDS_MAX + 1, EXIT_NOT_STARTED = 127 };

/* Behind what the program gets: 0 to 2, and 3 when it has a tools channel. */
static int report_fd, blob_fd;

/* What one that shares the init's memory leaves there when it becomes the program. */
static struct {
	char *blob, **strings, **shell;
	size_t blob_size;
} left;

_Noreturn static void give_up(struct start_report *report, enum warden_error error, int sys_errno, const char *what)
{
	report->error = error;
	report->sys_errno = sys_errno;
	format_text(report->detail, sizeof(report->detail), "%.200s", what);
	if (sys_errno != 0)
		append_text(report->detail, sizeof(report->detail), ": %s", strerror(sys_errno));
	/* The init sees the end of the pipe in any case. */
	ssize_t ignored = write(report_fd, report, sizeof(*report));
	(void)ignored;
	_exit(EXIT_NOT_STARTED);
}

/* Stdio to 0–2, the tools channel to 3, then the pipe and the blob; all else is closed, the init's socket first of all. */
static void place_descriptors(const struct exec_request *request, const int fds[EXEC_FDS_MAX], int report)
{
	bool tools = (request->flags & EXEC_TOOLS) != 0;
	int sources[PLACED_MAX] = { fds[1], fds[2], fds[3], tools ? fds[4] : report, tools ? report : fds[0], fds[0] };
	int moved[PLACED_MAX];
	int kept = tools ? FD_TOOLS + 1 : FD_TOOLS, count = kept + 2;
	for (int i = 0; i < count; i++) {
		moved[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, PLACED_MAX);
		if (moved[i] < 0)
			_exit(EXIT_NOT_STARTED);
	}
	for (int i = 0; i < count; i++) {
		int placed = i < kept ? dup2(moved[i], i) : dup3(moved[i], i, O_CLOEXEC);
		if (placed < 0)
			_exit(EXIT_NOT_STARTED);
	}
	if (syscall(__NR_close_range, (unsigned int)count, ~0u, 0) != 0)
		_exit(EXIT_NOT_STARTED);
	report_fd = kept;
	blob_fd = kept + 1;
}

/* With no stdin asked for the codec sends its own /dev/null. To share one open file with the host and with all children would be a channel. */
static void own_null(void)
{
	struct stat status;
	if (fstat(STDIN_FILENO, &status) != 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
		return;
	int fd = open("/dev/null", O_RDWR);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || close(fd) != 0)
		_exit(EXIT_NOT_STARTED);
}

/* Says where the tools channel is, whatever the environment said before. */
static void name_tools(char *env[])
{
	static char name[] = "COHORT_FD=3";
	size_t i = 0;
	while (env[i] != NULL && strncmp(env[i], "COHORT_FD=", 10) != 0)
		i++;
	env[i] = name;
}

/* Maps the blob and points into it. The codec sealed it, but a lie costs only this process. */
static char **map_strings(const struct exec_request *request, struct start_report *report)
{
	struct stat status;
	uint32_t count = request->argc + request->envc;
	if (request->argc < 1 || request->argc > ARGS_MAX || request->envc > ARGS_MAX || request->blob_size < 1 ||
	    request->blob_size > EXEC_BLOB_MAX)
		give_up(report, E_EXEC_FAILED, E2BIG, "no command, or too many arguments");
	if (fstat(blob_fd, &status) != 0 || status.st_size < (off_t)request->blob_size)
		give_up(report, E_EXEC_FAILED, EINVAL, "the arguments did not arrive whole");
	char *blob = mmap(NULL, request->blob_size, PROT_READ, MAP_PRIVATE, blob_fd, 0);
	/* One NULL behind argv, one behind env, and room for one more variable. */
	char **strings = calloc((size_t)count + 3, sizeof(char *));
	if (blob == MAP_FAILED || strings == NULL)
		give_up(report, E_EXEC_FAILED, ENOMEM, "no memory for the arguments");
	char *at = blob, *end = blob + request->blob_size;
	for (uint32_t i = 0; i < count; i++) {
		char *stop = memchr(at, '\0', (size_t)(end - at));
		if (stop == NULL)
			give_up(report, E_EXEC_FAILED, EINVAL, "the arguments did not arrive whole");
		strings[i < request->argc ? i : i + 1] = at;
		at = stop + 1;
	}
	close(blob_fd);
	left.blob = blob;
	left.blob_size = request->blob_size;
	left.strings = strings;
	return strings;
}

static const char *search_path(char *const env[])
{
	for (size_t i = 0; env[i] != NULL; i++)
		if (strncmp(env[i], "PATH=", 5) == 0)
			return env[i] + 5;
	return "/run/cohort/bin:/usr/local/bin:/usr/bin:/bin";
}

/* As execvpe: a script without an interpreter line goes to /bin/sh. Returns only on failure, with errno. */
static void execute(const char *path, char *argv[], char *env[], uint32_t argc)
{
	execve(path, argv, env);
	if (errno != ENOEXEC)
		return;
	char **shell = calloc((size_t)argc + 2, sizeof(char *));
	if (shell == NULL)
		return;
	left.shell = shell;
	shell[0] = (char *)(uintptr_t)"/bin/sh";
	shell[1] = (char *)(uintptr_t)path;
	for (uint32_t i = 1; i <= argc; i++)
		shell[i + 1] = argv[i];
	execve(shell[0], shell, env);
	free(shell);
	left.shell = NULL;
}

static int execute_by_search(char *argv[], char *env[], uint32_t argc)
{
	int remembered = ENOENT;
	if (argv[0][0] == '\0')
		return ENOENT;
	if (strchr(argv[0], '/') != NULL) {
		execute(argv[0], argv, env, argc);
		return errno;
	}
	for (const char *at = search_path(env);;) {
		size_t length = strcspn(at, ":");
		char path[4096];
		if (length + strlen(argv[0]) + 2 < sizeof(path)) {
			format_text(path, sizeof(path), "%.*s%s%s", (int)length, at, length > 0 ? "/" : "", argv[0]);
			execute(path, argv, env, argc);
			if (errno == EACCES)
				remembered = EACCES;
			else if (errno != ENOENT && errno != ENOTDIR)
				return errno;
		}
		if (at[length] == '\0')
			return remembered;
		at += length + 1;
	}
}

static void check_layers(const struct sandbox_plan *plan, struct start_report *report)
{
	report->layers = layers_seen_inside(plan, report_fd + 1);
	uint32_t missing = LAYERS_SEEN_INSIDE & ~report->layers;
	if (missing != 0) {
		char detail[DETAIL_SIZE];
		layers_missing_text(missing, detail);
		give_up(report, E_LAYER_MISSING, 0, detail);
	}
	if (write(report_fd, report, sizeof(*report)) != (ssize_t)sizeof(*report))
		_exit(EXIT_NOT_STARTED);
}

_Noreturn static void exec_child_main(const struct sandbox_plan *plan, const struct exec_request *request, const int fds[EXEC_FDS_MAX], int start_fd)
{
	struct start_report report = { 0 };
	sigset_t none;
	place_descriptors(request, fds, start_fd);
	own_null();
	/* A session of its own: its process group is its pid, and a terminal can become its controlling one. */
	if (setsid() < 0)
		give_up(&report, E_EXEC_FAILED, errno, "cannot start a session");
	if ((request->flags & EXEC_PTY) != 0 && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0)
		give_up(&report, E_EXEC_FAILED, errno, "cannot take the terminal");
	char **strings = map_strings(request, &report);
	char **argv = strings, **env = strings + request->argc + 1;
	if ((request->flags & EXEC_TOOLS) != 0)
		name_tools(env);
	if (request->exec_kind == EXEC_COLLECT) {
		check_layers(plan, &report);
		close(report_fd);
		_exit(request->argc == 2 ? collect_archive(plan->home, STDOUT_FILENO, argv[0], argv[1]) : EXIT_FAILURE);
	}
	if (request->exec_kind == EXEC_DIFF) {
		check_layers(plan, &report);
		close(report_fd);
		_exit(request->argc == 3 ? diff_archive(plan->home, STDOUT_FILENO, argv) : EXIT_FAILURE);
	}
	char cwd[MOUNT_SOURCE_SIZE];
	memcpy(cwd, request->cwd, sizeof(cwd));
	cwd[sizeof(cwd) - 1] = '\0';
	if (chdir(cwd) != 0) {
		int error_number = errno;
		char what[DETAIL_SIZE];
		format_text(what, sizeof(what), "cannot enter %.180s", cwd);
		give_up(&report, E_EXEC_FAILED, error_number, what);
	}
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		give_up(&report, E_EXEC_FAILED, errno, "cannot unblock signals");
	check_layers(plan, &report);
	int error_number = execute_by_search(argv, env, request->argc);
	char what[DETAIL_SIZE];
	format_text(what, sizeof(what), "cannot execute %.180s", argv[0]);
	give_up(&report, E_EXEC_FAILED, error_number, what);
}

static void clear_up(void)
{
	if (left.blob != NULL)
		munmap(left.blob, left.blob_size);
	free(left.strings);
	free(left.shell);
	left.blob = NULL;
	left.strings = left.shell = NULL;
}

pid_t exec_child_start(const struct sandbox_plan *plan, const struct exec_request *request, const int fds[EXEC_FDS_MAX], int start_fd, bool alone)
{
	pid_t pid = alone ? vfork() : fork();
	if (pid == 0)
		exec_child_main(plan, request, fds, start_fd);
	if (alone)
		clear_up();
	return pid;
}
