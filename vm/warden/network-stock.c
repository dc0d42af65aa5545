/* A few empty network namespaces in stock. To make and unmake one costs the
 * kernel a millisecond, half of what a sandbox costs in all; so a process beside
 * the zygote makes them while nothing waits, and one whose sandbox is proven to
 * be gone serves the next. No two sandboxes that live ever share one. When none
 * is ready the clone of the sandbox makes its own, so the stock is only a gain.
 *
 * Owns: the namespaces in stock. The maker is root, in the template root, reads
 * one byte per order, and dies with the zygote. */
#include "network-stock.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { STOCK_LOW = 8, STOCK_MAX = 32, BEHIND_OTHERS = 5 };

static int stock[STOCK_MAX];
static size_t stocked, ordered;

_Noreturn static void maker_main(int orders_fd, int proc_fd, pid_t zygote_pid)
{
	const int kept[] = { orders_fd, proc_fd };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != zygote_pid || close_all_but(kept, ARRAY_LENGTH(kept)) != 0)
		_exit(EXIT_FAILURE);
	/* Behind creations that are under way; refused only where it does not matter. */
	(void)setpriority(PRIO_PROCESS, 0, BEHIND_OTHERS);
	for (;;) {
		char order;
		if (receive_packet(orders_fd, &order, sizeof(order), NULL, 0, NULL) != (ssize_t)sizeof(order))
			_exit(EXIT_SUCCESS);
		if (unshare(CLONE_NEWNET) != 0)
			die_errno("network maker: cannot make a namespace");
		CLEANUP_FD int made = openat(proc_fd, "self/ns/net", O_RDONLY | O_CLOEXEC);
		if (made < 0 || send_packet(orders_fd, &order, sizeof(order), &made, 1) != 0)
			_exit(EXIT_FAILURE);
	}
}

static void order_one(int maker_fd)
{
	/* A maker that ended shows on its socket. */
	(void)send_packet(maker_fd, "", 1, NULL, 0);
	ordered++;
}

int network_stock_open(int proc_fd)
{
	int pair[2];
	pid_t zygote_pid = getpid();
	packet_pair(pair);
	pid_t pid = fork();
	if (pid == 0)
		maker_main(pair[1], proc_fd, zygote_pid);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -1;
	}
	for (size_t i = 0; i < STOCK_LOW; i++)
		order_one(pair[0]);
	return pair[0];
}

void network_stock_receive(int *maker_fd)
{
	char order;
	int made = -1;
	size_t count = 0;
	ssize_t size = receive_packet(*maker_fd, &order, sizeof(order), &made, 1, &count);
	if (size == (ssize_t)sizeof(order) && count == 1) {
		ordered--;
		network_stock_give(&made);
		return;
	}
	if (count == 1)
		close(made);
	ordered = 0;
	complain("zygote: the maker of network namespaces ended; each sandbox makes its own now");
	close_fd(maker_fd);
}

int network_stock_take(int *maker_fd)
{
	int taken = stocked > 0 ? stock[--stocked] : -1;
	if (*maker_fd >= 0 && stocked + ordered < STOCK_LOW)
		order_one(*maker_fd);
	return taken;
}

void network_stock_give(int *network_fd)
{
	if (*network_fd >= 0 && stocked < STOCK_MAX)
		stock[stocked++] = steal_fd(network_fd);
	close_fd(network_fd);
}
