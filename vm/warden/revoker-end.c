/* The end of the processes that revoke. Runs in the zygote; see the invariants there.
 *
 * Owns: those that are killed, or through with their work, and not reaped yet: of all sandboxes, also of those that are gone. One within an
 * unmount of very many files dies when the kernel is through with them, and nobody waits for that. */
#include "grants.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lifecycle.h"

enum { REAP_MS = 20, GROWTH = 64 };

static struct {
	pid_t *pids;
	uint32_t count, capacity;
} ending;

static bool is_reaped(pid_t pid)
{
	pid_t reaped;
	do
		reaped = waitpid(pid, NULL, WNOHANG);
	while (reaped < 0 && errno == EINTR);
	return reaped != 0;
}

static bool has_room(void)
{
	if (ending.count < ending.capacity)
		return true;
	pid_t *grown = realloc(ending.pids, (ending.capacity + GROWTH) * sizeof(*grown));
	if (grown == NULL)
		return false;
	ending.pids = grown;
	ending.capacity += GROWTH;
	return true;
}

void revoker_end(pid_t pid)
{
	kill(pid, SIGKILL);
	if (is_reaped(pid))
		return;
	if (has_room())
		ending.pids[ending.count++] = pid;
	else
		complain("zygote: no memory to remember that process %d is to be reaped: it stays in the table of processes", pid);
}

uint64_t revokers_reap(uint64_t now_ms)
{
	for (uint32_t i = 0; i < ending.count;)
		if (is_reaped(ending.pids[i]))
			ending.pids[i] = ending.pids[--ending.count];
		else
			i++;
	return ending.count == 0 ? NEVER_MS : now_ms + REAP_MS;
}
