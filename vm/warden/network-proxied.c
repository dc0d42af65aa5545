/* The network of a child in mode `proxied`, made by its first process while it
 * is root, inside the new network namespace: a loopback device and, on
 * 127.0.0.1:3128, a socket that the relay outside will accept from. There is no
 * other interface and no route; a packet filter says so a second time. */
#include "network-proxied.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "relay.h"

enum { BACKLOG = 256 };

/* Buffers of TCP are counted for the machine, not for a child: what each socket may hold is small, else one child could use them up. */
static int bound_buffers(int proc_fd)
{
	return write_file(proc_fd, "sys/net/ipv4/tcp_rmem", "4096 65536 262144") != 0 ? -1
											 : write_file(proc_fd, "sys/net/ipv4/tcp_wmem", "4096 65536 262144");
}

static int raise_loopback(int socket_fd)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	return ioctl(socket_fd, SIOCSIFFLAGS, &request);
}

int network_proxied_build(int proc_fd, struct fault *fault)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(RELAY_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || raise_loopback(fd) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot bring up the loopback device");
	if (bound_buffers(proc_fd) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot bound the buffers of its network");
	/* Before anything can listen beside it: no other socket of this namespace can have the address while this one listens. */
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot listen on port %d", RELAY_PORT);
	if (packet_filter_load(fault) != 0)
		return -1;
	return steal_fd(&fd);
}
