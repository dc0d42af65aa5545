/* What a child does with a network, one command a run: see main(). Addresses are literals; results are errno names or what was read. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PROXY_PORT = 3128, CONNECT_MS = 2000 };

static const char *result_of(int value)
{
	return value >= 0 ? "OK" : strerrorname_np(errno);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static socklen_t address_of(struct sockaddr_storage *address, const char *text, int port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		return sizeof(*v6);
	}
	inet_pton(AF_INET, text, &v4->sin_addr);
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	return sizeof(*v4);
}

/* -1 with errno; ETIMEDOUT when nothing answered. */
static int connect_to(const char *text, int port)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(&address, text, port);
	int error = 0;
	socklen_t error_size = sizeof(error);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	struct pollfd waited = { .fd = fd, .events = POLLOUT };
	if (connect(fd, (struct sockaddr *)&address, size) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		if (poll(&waited, 1, CONNECT_MS) == 0)
			error = ETIMEDOUT;
		else
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
		if (error == 0)
			return fd;
		errno = error;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int proxy(void)
{
	return connect_to("127.0.0.1", PROXY_PORT);
}

/* Sends the text, ends the sending side, prints all that comes. */
static void get(const char *text)
{
	char buffer[4096];
	int fd = proxy();
	struct pollfd waited = { .fd = fd, .events = POLLIN };
	if (fd < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) != 0) {
		printf("%s\n", strerrorname_np(errno));
		return;
	}
	for (;;) {
		ssize_t size = poll(&waited, 1, 15000) > 0 ? read(fd, buffer, sizeof(buffer)) : -2;
		if (size <= 0) {
			printf("[%s]\n", size == 0 ? "end" : size == -2 ? "silence" : strerrorname_np(errno));
			return;
		}
		fwrite(buffer, 1, (size_t)size, stdout);
	}
}

/* One byte there and back on each. How many were answered within the time. */
static int answered(const int *fds, int count, int within_ms)
{
	int good = 0;
	char byte;
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			send(fds[i], "x", 1, MSG_NOSIGNAL);
	uint64_t end_us = now_us() + (uint64_t)within_ms * 1000;
	for (int i = 0; i < count; i++) {
		struct pollfd waited = { .fd = fds[i], .events = POLLIN };
		int left_ms = now_us() < end_us ? (int)((end_us - now_us()) / 1000) : 0;
		if (fds[i] >= 0 && poll(&waited, 1, left_ms) > 0 && read(fds[i], &byte, 1) == 1)
			good++;
	}
	return good;
}

/* Opens so many, and stays. */
static void keep(int count)
{
	for (int i = 0; i < count; i++)
		printf("%s\n", result_of(proxy()));
	fflush(stdout);
	pause();
}

/* Opens so many, counts the answers; closes a tenth, counts again. */
static void hold(int count)
{
	int *fds = calloc((size_t)count, sizeof(int)), opened = 0;
	for (int i = 0; i < count; i++) {
		fds[i] = proxy();
		opened += fds[i] >= 0;
	}
	printf("opened %d answered %d\n", opened, answered(fds, count, 3000));
	for (int i = 0; i < count / 10; i++) {
		close(fds[i]);
		fds[i] = -1;
	}
	usleep(300000);
	/* Those that were answered before are asked again: only the rest counts, so all of them are asked for one more byte. */
	printf("then answered %d\n", answered(fds, count, 3000));
}

/* Sends without reading until nothing is taken for a second. */
static void stuff(void)
{
	static char block[65536];
	int fd = proxy();
	long total = 0;
	struct pollfd waited = { .fd = fd, .events = POLLOUT };
	while (poll(&waited, 1, 1000) > 0) {
		ssize_t sent = send(fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			break;
		total += sent;
	}
	printf("stuffed %ld\n", total);
}

/* Connections with itself, each as full as it gets: memory of the kernel. Then stays. */
static void hoard(int pairs)
{
	static char block[65536];
	struct sockaddr_storage address;
	socklen_t size = address_of(&address, "127.0.0.1", 0);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	long total = 0;
	if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 16) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0)
		return;
	for (int i = 0; i < pairs; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0), largest = 1 << 30;
		setsockopt(client, SOL_SOCKET, SO_SNDBUF, &largest, sizeof(largest));
		setsockopt(client, SOL_SOCKET, SO_RCVBUF, &largest, sizeof(largest));
		if (client < 0 || connect(client, (struct sockaddr *)&address, size) != 0)
			break;
		int server = accept(listener, NULL, NULL);
		for (int way = 0; way < 2; way++) {
			struct pollfd waited = { .fd = way == 0 ? client : server, .events = POLLOUT };
			while (poll(&waited, 1, 20) > 0) {
				ssize_t sent = send(waited.fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
				if (sent < 0)
					break;
				total += sent;
			}
		}
	}
	printf("hoarded %ld\n", total);
	fflush(stdout);
	pause();
}

/* So many bytes through an endpoint that echoes, checked; microseconds. */
static void pump(long bytes)
{
	static unsigned char out[65536], in[65536];
	int fd = proxy();
	long sent = 0, seen = 0, wrong = 0;
	uint64_t start_us = now_us();
	while (seen < bytes) {
		struct pollfd waited = { .fd = fd, .events = (short)(POLLIN | (sent < bytes ? POLLOUT : 0)) };
		if (poll(&waited, 1, 10000) <= 0)
			break;
		if ((waited.revents & POLLOUT) != 0) {
			size_t size = (size_t)(bytes - sent) < sizeof(out) ? (size_t)(bytes - sent) : sizeof(out);
			for (size_t i = 0; i < size; i++)
				out[i] = (unsigned char)((sent + (long)i) % 251);
			ssize_t done = send(fd, out, size, MSG_NOSIGNAL | MSG_DONTWAIT);
			sent += done > 0 ? done : 0;
			if (sent == bytes)
				shutdown(fd, SHUT_WR);
		}
		if ((waited.revents & (POLLIN | POLLHUP)) != 0) {
			ssize_t done = read(fd, in, sizeof(in));
			if (done <= 0)
				break;
			for (ssize_t i = 0; i < done; i++)
				wrong += in[i] != (unsigned char)((seen + i) % 251);
			seen += done;
		}
	}
	printf("pumped %ld wrong %ld us %lu\n", seen, wrong, (unsigned long)(now_us() - start_us));
}

/* Round trips of one byte, a new connection each; microseconds. */
static void times(int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t start_us = now_us();
		int fd = proxy();
		int good = fd < 0 ? 0 : answered(&fd, 1, 5000);
		printf("%lu%s\n", (unsigned long)(now_us() - start_us), good == 1 ? "" : " unanswered");
		close(fd);
		usleep(5000);
	}
}

/* Connections as fast as they come, each closed at once, for so many seconds. */
static void flood(int seconds)
{
	uint64_t end_us = now_us() + (uint64_t)seconds * 1000000;
	long count = 0;
	while (now_us() < end_us) {
		int fd = proxy();
		count += fd >= 0;
		close(fd);
	}
	printf("flooded %ld\n", count);
}

/* A server of the child's own, on a port that the kernel chooses. */
static void local(const char *address_text)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(&address, address_text, 0);
	char byte = 0;
	int listener = socket(address.ss_family, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 4) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
		printf("server %s\n", strerrorname_np(errno));
		return;
	}
	int client = socket(address.ss_family, SOCK_STREAM, 0);
	int connected = connect(client, (struct sockaddr *)&address, size);
	int server = accept(listener, NULL, NULL);
	if (connected != 0 || server < 0 || write(client, "y", 1) != 1 || read(server, &byte, 1) != 1)
		printf("client %s\n", strerrorname_np(errno));
	else
		printf("local %c\n", byte);
}

/* Outside: an endpoint in a process of its own, one connection after the other, each byte back. Ends with its parent. */
static void serve(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char buffer[4096];
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	umask(0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 64) != 0)
		return;
	puts("listens");
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		for (ssize_t size = read(fd, buffer, sizeof(buffer)); size > 0; size = read(fd, buffer, sizeof(buffer)))
			if (send(fd, buffer, (size_t)size, MSG_NOSIGNAL) < 0)
				break;
		close(fd);
	}
}

/* Whether somebody else's place can be taken. */
static void take_proxy_port(void)
{
	const char *texts[] = { "127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct sockaddr_storage address;
		socklen_t size = address_of(&address, texts[i], PROXY_PORT);
		int one = 1, fd = socket(address.ss_family, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
		printf("%s %s\n", texts[i], result_of(bind(fd, (struct sockaddr *)&address, size)));
		close(fd);
	}
}

/* A pair is the only unix socket that it has: can it lead elsewhere? */
static void pairs(const char *path)
{
	const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX }, own = { .sun_family = AF_UNIX }, none = { .sun_family = AF_UNSPEC };
		int pair[2];
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
		snprintf(own.sun_path, sizeof(own.sun_path), "%s/own.sock", getenv("HOME") == NULL ? "/tmp" : getenv("HOME"));
		if (socketpair(AF_UNIX, types[i], 0, pair) != 0) {
			printf("pair %s\n", strerrorname_np(errno));
			continue;
		}
		printf("connect %s\n", result_of(connect(pair[0], (struct sockaddr *)&address, sizeof(address))));
		close(pair[1]);
		printf("connect a widow %s\n", result_of(connect(pair[0], (struct sockaddr *)&address, sizeof(address))));
		printf("disconnect %s\n", result_of(connect(pair[0], (struct sockaddr *)&none, sizeof(none))));
		printf("bind %s\n", result_of(bind(pair[0], (struct sockaddr *)&own, sizeof(own))));
		printf("listen %s\n", result_of(listen(pair[0], 1)));
		printf("accept %s\n", result_of(accept(pair[0], NULL, NULL)));
		printf("sendto %s\n", result_of((int)sendto(pair[0], "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address))));
	}
}

static void options(void)
{
	const struct {
		const char *name;
		int level, option;
	} tried[] = { { "TCP_ULP", IPPROTO_TCP, 31 }, { "SO_ATTACH_FILTER", SOL_SOCKET, 26 }, { "SO_ATTACH_BPF", SOL_SOCKET, 50 },
		      { "SO_ATTACH_REUSEPORT_CBPF", SOL_SOCKET, 51 }, { "IPV6_ADDRFORM", IPPROTO_IPV6, 1 }, { "SO_BINDTODEVICE", SOL_SOCKET, 25 },
		      { "IPT_SO_SET_REPLACE", IPPROTO_IP, 64 }, { "TCP_NODELAY", IPPROTO_TCP, 1 }, { "SO_KEEPALIVE", SOL_SOCKET, 9 } };
	for (size_t i = 0; i < sizeof(tried) / sizeof(*tried); i++) {
		char value[64] = "tls";
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		printf("%s %s\n", tried[i].name, result_of(setsockopt(fd, tried[i].level, tried[i].option, value, 4)));
		close(fd);
	}
}

int main(int argc, char *argv[])
{
	const char *command = argc > 1 ? argv[1] : "";
	if (strcmp(command, "try") == 0)
		for (int i = 2; i + 1 < argc; i += 2)
			printf("%s %s %s\n", argv[i], argv[i + 1], result_of(connect_to(argv[i], atoi(argv[i + 1]))));
	else if (strcmp(command, "get") == 0 && argc > 2)
		get(argv[2]);
	else if (strcmp(command, "hold") == 0 && argc > 2)
		hold(atoi(argv[2]));
	else if (strcmp(command, "keep") == 0 && argc > 2)
		keep(atoi(argv[2]));
	else if (strcmp(command, "stuff") == 0)
		stuff();
	else if (strcmp(command, "hoard") == 0 && argc > 2)
		hoard(atoi(argv[2]));
	else if (strcmp(command, "pump") == 0 && argc > 2)
		pump(atol(argv[2]));
	else if (strcmp(command, "times") == 0 && argc > 2)
		times(atoi(argv[2]));
	else if (strcmp(command, "flood") == 0 && argc > 2)
		flood(atoi(argv[2]));
	else if (strcmp(command, "local") == 0 && argc > 2)
		local(argv[2]);
	else if (strcmp(command, "take") == 0)
		take_proxy_port();
	else if (strcmp(command, "pairs") == 0 && argc > 2)
		pairs(argv[2]);
	else if (strcmp(command, "serve") == 0 && argc > 2)
		serve(argv[2]);
	else if (strcmp(command, "options") == 0)
		options();
	else
		return 2;
	return 0;
}
