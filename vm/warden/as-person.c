/* Work on paths of the person, in a process that has only the person's rights and a bounded time. */
#include "broker.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

_Noreturn static void worker_main(const struct person *person, const struct person_work *work, int answer_fd)
{
	int fd = -1;
	if ((work->enter != NULL && !work->enter()) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || setgroups(person->group_count, person->groups) != 0 ||
	    setresgid(person->gid, person->gid, person->gid) != 0 || setresuid(person->uid, person->uid, person->uid) != 0)
		_exit(EXIT_FAILURE);
	/* setresuid cleared the signal. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		_exit(EXIT_FAILURE);
	work->run(work->context, work->answer, &fd);
	_exit(send_packet(answer_fd, work->answer, work->answer_size, &fd, fd >= 0 ? 1 : 0) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int run_as_person(const struct person *person, const struct person_work *work, int *fd)
{
	int answer[2];
	size_t fd_count = 0;
	*fd = -1;
	packet_pair(answer);
	pid_t pid = fork();
	if (pid == 0)
		worker_main(person, work, answer[1]);
	close(answer[1]);
	struct pollfd waited = { .fd = answer[0], .events = POLLIN };
	int ready = pid < 0 ? -1 : poll(&waited, 1, work->time_ms_max);
	ssize_t size = ready > 0 ? receive_packet(answer[0], work->answer, work->answer_size, fd, 1, &fd_count) : -1;
	close(answer[0]);
	if (pid > 0) {
		/* One that hangs in the kernel cannot be waited for; it goes to the broker's own parent when it ends. */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, WNOHANG);
	}
	errno = ready == 0 ? ETIMEDOUT : EPROTO;
	return size == (ssize_t)work->answer_size ? 0 : -1;
}
