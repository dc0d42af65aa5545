/* The truth check of the network: what a process of the sandbox can make of
 * sockets, and what stands in its network namespace, seen from both sides. */
#include "sandbox.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "confine.h"

static int quiet_socket(int family, int type, int protocol)
{
	return (int)syscall(__NR_socket, family, type | SOCK_CLOEXEC, protocol, 0, 0, FILTER_QUIETLY);
}

static bool is_refused(int family, int type, int protocol)
{
	CLEANUP_FD int fd = quiet_socket(family, type, protocol);
	return fd < 0 && errno == EPERM;
}

/* No packet leaves for an address elsewhere: the kernel finds no route. A kernel without IPv6 has no such socket. */
static bool leads_nowhere(int family)
{
	/* 192.0.2.1 and 2001:db8::1, which documentation uses and nobody has. */
	const struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xc0000201) };
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
	CLEANUP_FD int fd = quiet_socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return family == AF_INET6 && errno == EAFNOSUPPORT;
	int connected = family == AF_INET ? connect(fd, (const struct sockaddr *)&v4, sizeof(v4)) : connect(fd, (const struct sockaddr *)&v6, sizeof(v6));
	return connected != 0 && (errno == ENETUNREACH || errno == EADDRNOTAVAIL);
}

/* Loopback, or one of the tunnels that some kernels put into every namespace: those are down, and nothing here may bring them up. */
static bool is_known_device(const char *line)
{
	static const char *const known[] = { "lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0" };
	line += strspn(line, " ");
	for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
		if (strncmp(line, known[i], strlen(known[i])) == 0 && line[strlen(known[i])] == ':')
			return true;
	return false;
}

static bool is_loopback_route(const char *line)
{
	size_t length = strlen(line);
	return length > 3 && strcmp(line + length - 3, " lo") == 0;
}

/* Loopback's own IPv4 addresses stand in no main table. */
static bool is_no_route(const char *line)
{
	return line[0] == '\0';
}

/* The lines of a table behind its headers. One that the kernel does not have is empty. */
static bool every_line(int proc_fd, const char *process, const char *table, int headers, bool (*fits)(const char *line))
{
	static char text[16 * 1024];
	char path[64];
	format_text(path, sizeof(path), "%s/net/%s", process, table);
	if (read_file(proc_fd, path, text, sizeof(text)) < 0)
		return errno == ENOENT;
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		if (headers-- <= 0 && !fits(line))
			return false;
	return true;
}

bool network_is_empty(int proc_fd, const char *process)
{
	return every_line(proc_fd, process, "dev", 2, is_known_device) && every_line(proc_fd, process, "route", 1, is_no_route) &&
	       every_line(proc_fd, process, "ipv6_route", 0, is_loopback_route);
}

bool sockets_are_restricted(enum network_mode network)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG };
	for (size_t i = 0; i < ARRAY_LENGTH(families); i++)
		if (!is_refused(families[i], SOCK_DGRAM, 0) || !is_refused(families[i], SOCK_RAW, IPPROTO_RAW))
			return false;
	CLEANUP_FD int ring = (int)syscall(__NR_io_uring_setup, 1, NULL);
	if (ring >= 0 || errno != ENOSYS)
		return false;
	switch (network) {
	case NETWORK_NONE:
		return is_refused(AF_INET, SOCK_STREAM, 0) && is_refused(AF_INET6, SOCK_STREAM, 0) && is_refused(AF_UNIX, SOCK_STREAM, 0);
	case NETWORK_PROXIED:
		return is_refused(AF_UNIX, SOCK_STREAM, 0) && is_refused(AF_INET, SOCK_STREAM, IPPROTO_MPTCP) && leads_nowhere(AF_INET) &&
		       leads_nowhere(AF_INET6) && network_is_empty(AT_FDCWD, "/proc/self");
	case NETWORK_MODES:
		break;
	}
	return false;
}
