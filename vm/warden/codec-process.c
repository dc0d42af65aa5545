/* Turns a fork of root into the codec: an empty root, no name space of the
 * host's, a uid of nobody, no capability, and then codec_main(). */
#include "broker.h"

#include <stdlib.h>
#include <sys/mount.h>

#include "codec.h"
#include "confine.h"
#include "nobody.h"

int devpts_open(void)
{
	CLEANUP_FD int context = fsopen("devpts", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "ptmxmode", "0666", 0) != 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0600", 0) != 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		die_errno("cannot make a devpts instance for terminals");
	int mount_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mount_fd < 0)
		die_errno("cannot mount a devpts instance for terminals");
	return mount_fd;
}

void codec_process_main(struct codec_config *config, uint32_t uid)
{
	int *kept[] = { &config->listen_fd, &config->broker_fd, &config->zygote_fd, &config->devpts_fd, &config->witness_fd };
	pid_t broker_pid = getppid();
	nobody_prepare("cohort-codec");
	nobody_keep(kept, ARRAY_LENGTH(kept));
	nobody_enter_empty_root();
	nobody_become(uid);
	if (getppid() != broker_pid)
		_exit(EXIT_FAILURE);
	/* It is the one process that parses what children and the supervisor wrote: a hole in it shall find nothing to call. */
	seccomp_prepare(FILTER_CODEC);
	if (seccomp_apply(FILTER_CODEC) != 0)
		die_errno("codec: cannot load its system call filter");
	_exit(codec_main(config));
}
