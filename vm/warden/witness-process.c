/* Turns a fork of root into the witness: like the codec, nobody in an empty root, but for a procfs that shows processes. */
#include "witness.h"

#include <stdlib.h>
#include <sys/mount.h>

#include "confine.h"
#include "nobody.h"

int witness_proc_open(void)
{
	CLEANUP_FD int context = fsopen("proc", FSOPEN_CLOEXEC);
	/* Names of processes are every user's to read; the rest of /proc is left out. */
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

void witness_process_main(struct witness_config *config, uint32_t uid)
{
	int *kept[] = { &config->zygote_fd, &config->codec_fd, &config->proc_fd };
	pid_t broker_pid = getppid();
	nobody_prepare("cohort-witness");
	nobody_keep(kept, ARRAY_LENGTH(kept));
	nobody_enter_empty_root();
	nobody_become(uid);
	if (getppid() != broker_pid)
		_exit(EXIT_FAILURE);
	seccomp_prepare(FILTER_CODEC);
	if (seccomp_apply(FILTER_CODEC) != 0)
		die_errno("witness: cannot load its system call filter");
	_exit(witness_main(config));
}
