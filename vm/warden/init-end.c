/* The end of inits. Runs in the zygote; see the invariants there. One signal and not a descriptor for each: every clone of the zygote copies
 * its table of descriptors, and closes all of it. */
#include "jail-table.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

int inits_watch(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, INIT_END_SIGNAL);
	int fd = sigprocmask(SIG_BLOCK, &ends, NULL) == 0 ? signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
	if (fd < 0)
		die_errno("zygote: cannot watch the ends of inits");
	watch(fd, FROM_INITS, 0);
	return fd;
}

void inits_reap(int signal_fd)
{
	struct signalfd_siginfo seen[16];
	/* One signal may stand for several ends. */
	while (read(signal_fd, seen, sizeof(seen)) > 0)
		;
	for (;;) {
		int wait_status;
		/* __WCLONE: inits, and no other child of the zygote. */
		pid_t pid = waitpid(-1, &wait_status, WNOHANG | __WCLONE);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		struct jail *jail = jail_by_pid(pid);
		if (jail == NULL)
			die("zygote: the init %d was of no sandbox", pid);
		jail_on_init_end(jail, wait_status, boot_ms());
	}
}
