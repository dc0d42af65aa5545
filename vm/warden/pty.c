/* Pseudo-terminals; see pty.h. */
#include "pty.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "base.h"

int pty_resize(int master, uint32_t rows, uint32_t columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	return ioctl(master, TIOCSWINSZ, &size);
}

int pty_open(struct pty *pty, int devpts_fd, uint32_t rows, uint32_t columns)
{
	CLEANUP_FD int master = openat(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (master < 0)
		return -1;
	int unlock = 0;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || pty_resize(master, rows, columns) < 0)
		return -1;
	/* Through the master, not by path: no path of this devpts exists for anybody. */
	CLEANUP_FD int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	/* The child has another uid, and opens it again as /dev/stdout. */
	if (slave < 0 || fchmod(slave, 0666) < 0)
		return -1;
	pty->master = steal_fd(&master);
	pty->slave = steal_fd(&slave);
	return 0;
}
