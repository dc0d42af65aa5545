/* The zygote's half of a proxied sandbox's network: when the relay may accept
 * for it, and the proof that it does no more.
 *
 * Owns: the listening socket until the relay has it, and what was agreed with
 * the relay. Invariants:
 *   N1 A proxied sandbox is announced only when the relay has its socket.
 *   N2 Nothing is told to be gone before the relay has closed every socket of it: they hold its network namespace.
 *   N3 The zygote never waits for the relay: what it does not take now is offered again. */
#include "jail-table.h"

#include <string.h>

#include "relay.h"

static int send_request(const struct jail *jail, enum relay_kind kind, const char *endpoint, const int *fds, size_t fd_count)
{
	struct relay_request request = { .kind = kind, .uid = jail->plan.uid };
	if (endpoint != NULL)
		format_text(request.endpoint, sizeof(request.endpoint), "%s", endpoint);
	return send_packet(zygote.relay_fd, &request, sizeof(request), fds, fd_count);
}

int jail_relay_open(struct jail *jail, const char *endpoint, int directory_fd, struct fault *fault)
{
	const int fds[] = { jail->relay_listen_fd, directory_fd };
	if (send_request(jail, RELAY_OPEN, endpoint, fds, ARRAY_LENGTH(fds)) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "the relay takes no other network");
	close_fd(&jail->relay_listen_fd);
	jail->relay = RELAY_OPENING;
	return 0;
}

bool jail_relay_is_closed(struct jail *jail)
{
	close_fd(&jail->relay_listen_fd);
	/* A relay that ended holds no socket; the warden ends with it. */
	if (zygote.relay_fd < 0)
		return true;
	if (jail->relay == RELAY_OPENING || jail->relay == RELAY_OPENED) {
		if (send_request(jail, RELAY_CLOSE, NULL, NULL, 0) == 0)
			jail->relay = RELAY_CLOSING;
		else if (errno != EAGAIN && errno != EPIPE)
			die_errno("zygote: the relay takes nothing");
	}
	return jail->relay == RELAY_UNKNOWN;
}

void relay_on_reply(void)
{
	struct relay_reply reply;
	ssize_t size = receive_packet(zygote.relay_fd, &reply, sizeof(reply), NULL, 0, NULL);
	if (size == 0)
		/* Only the broker sees why; it ends us. */
		unwatch(&zygote.relay_fd);
	if (size == 0 || (size < 0 && errno == EAGAIN))
		return;
	if (size != (ssize_t)sizeof(reply))
		die("zygote: a reply of the relay of %zd bytes", size);
	struct jail *jail = jail_by_uid(reply.uid);
	if (jail == NULL)
		die("zygote: the relay speaks of %u, which does not exist", reply.uid);
	if (reply.kind == RELAY_CLOSE) {
		jail->relay = RELAY_UNKNOWN;
		jail->retry_at_ms = jail->state == CLEARING ? 0 : jail->retry_at_ms;
	} else if (jail->relay == RELAY_OPENING) {
		struct fault fault;
		jail->relay = reply.sys_errno == 0 ? RELAY_OPENED : RELAY_UNKNOWN;
		if (reply.sys_errno != 0) {
			fail(&fault, E_SETUP_FAILED, reply.sys_errno, "the relay takes no other network");
			jail_fail(jail, &fault);
		} else if (jail->state == ALIVE) {
			jail_reply_created(jail);
		}
	}
}
