/* Turns a fork of root into the relay: like the codec, nobody in an empty root.
 * The one thing of the person's that it ever holds is the directory of each
 * child's endpoint, which it can neither list nor leave: it may not search
 * what lies above. */
#include "relay.h"

#include <fcntl.h>
#include <stdlib.h>

#include "nobody.h"

void relay_process_main(int zygote_fd, uint32_t uid)
{
	int *kept[] = { &zygote_fd };
	pid_t broker_pid = getppid();
	nobody_prepare("cohort-relay");
	nobody_keep(kept, ARRAY_LENGTH(kept));
	nobody_enter_empty_root();
	nobody_become(uid);
	if (getppid() != broker_pid)
		_exit(EXIT_FAILURE);
	relay_main(zygote_fd);
}
