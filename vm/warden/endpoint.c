/* The endpoint of a child with a network: a unix socket of the person, named by
 * a path. Its directory is opened here by a process with the person's rights,
 * which may walk where the relay may not; the socket itself is looked up by the
 * relay, each time anew. */
#include "broker.h"

#include <grp.h>
#include <linux/openat2.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { OPENER_MS_MAX = 5000 };

_Noreturn static void opener_main(const struct person *person, const char *directory, int answer_fd)
{
	int error_number = 0;
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || setgroups(person->group_count, person->groups) != 0 ||
	    setresgid(person->gid, person->gid, person->gid) != 0 || setresuid(person->uid, person->uid, person->uid) != 0)
		_exit(EXIT_FAILURE);
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, directory, &how, sizeof(how));
	if (fd < 0)
		error_number = errno;
	_exit(send_packet(answer_fd, &error_number, sizeof(error_number), &fd, fd >= 0 ? 1 : 0) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int open_as_person(const struct person *person, const char *directory, struct fault *fault)
{
	int answer[2], fd = -1, error_number = 0;
	size_t fd_count = 0;
	packet_pair(answer);
	pid_t pid = fork();
	if (pid == 0)
		opener_main(person, directory, answer[1]);
	close(answer[1]);
	struct pollfd waited = { .fd = answer[0], .events = POLLIN };
	int ready = pid < 0 ? -1 : poll(&waited, 1, OPENER_MS_MAX);
	ssize_t size = ready > 0 ? receive_packet(answer[0], &error_number, sizeof(error_number), &fd, 1, &fd_count) : -1;
	close(answer[0]);
	if (pid > 0) {
		/* One that hangs in the kernel cannot be waited for. */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, WNOHANG);
	}
	CLEANUP_FD int owned = fd_count == 1 ? fd : -1;
	if (ready == 0)
		return fail(fault, E_SETUP_FAILED, ETIMEDOUT, "opening the endpoint's directory did not end in %d s", OPENER_MS_MAX / 1000);
	if (size != (ssize_t)sizeof(error_number) || (error_number == 0 && owned < 0))
		return fail(fault, E_INTERNAL, 0, "the process that should open the endpoint's directory failed");
	if (error_number != 0)
		return fail(fault, E_SETUP_FAILED, error_number, "user %u cannot open the endpoint's directory %.120s", person->uid, directory);
	return steal_fd(&owned);
}

int endpoint_open(const struct person *person, struct create_request *request, struct fault *fault)
{
	char directory[ENDPOINT_SIZE];
	struct stat status;
	if (memchr(request->endpoint, '\0', sizeof(request->endpoint)) == NULL || request->endpoint[0] != '/')
		return fail(fault, E_SETUP_FAILED, 0, "network proxied needs an endpoint, an absolute path");
	format_text(directory, sizeof(directory), "%s", request->endpoint);
	char *slash = strrchr(directory, '/');
	const char *name = slash + 1;
	if (slash == directory || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return fail(fault, E_SETUP_FAILED, 0, "the endpoint %.120s does not name a socket in a directory", request->endpoint);
	memset(request->endpoint, 0, sizeof(request->endpoint));
	memcpy(request->endpoint, name, strlen(name));
	*slash = '\0';
	CLEANUP_FD int fd = open_as_person(person, directory, fault);
	if (fd < 0)
		return -1;
	/* The relay has a uid of its own. What keeps others out is the directory above, where only the person may pass. */
	if (fstat(fd, &status) != 0 || status.st_uid != person->uid || (status.st_mode & S_IXOTH) == 0 || (status.st_mode & S_IWOTH) != 0)
		return fail(fault, E_SETUP_FAILED, EACCES, "the endpoint's directory %.120s must be user %u's, and 0711", directory, person->uid);
	return steal_fd(&fd);
}
