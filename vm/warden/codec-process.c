/* Turns a fork of root into the codec: an empty root, no name space of the
 * host's, a uid of nobody, no capability, and then codec_main(). */
#include "broker.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "codec.h"
#include "confine.h"

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

static void enter_empty_root(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die_errno("codec: cannot leave the host's namespaces");
	CLEANUP_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "4k", 0) != 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		die_errno("codec: cannot make an empty root");
	CLEANUP_FD int root_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root_fd < 0 || move_mount(root_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) != 0 || fchdir(root_fd) != 0 ||
	    syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		die_errno("codec: cannot enter an empty root");
}

static void become_nobody(uint32_t uid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) != 0)
		die_errno("codec: cannot lock the securebits");
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			die_errno("codec: cannot drop capability %lu", capability);
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0 || syscall(SYS_capset, &header, none) != 0)
		die_errno("codec: cannot become uid %u", uid);
	/* After setresuid, which clears the signal and sets dumpable. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die_errno("codec: cannot give up its privileges");
}

/* Descriptors to fixed low numbers; everything else, the locks above all, is closed. */
static void keep_descriptors(struct codec_config *config)
{
	int *kept[] = { &config->listen_fd, &config->broker_fd, &config->zygote_fd, &config->devpts_fd };
	int first_closed = 3 + (int)ARRAY_LENGTH(kept);
	for (size_t i = 0; i < ARRAY_LENGTH(kept); i++) {
		*kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, first_closed);
		if (*kept[i] < 0)
			die_errno("codec: cannot arrange its descriptors");
	}
	for (size_t i = 0; i < ARRAY_LENGTH(kept); i++) {
		if (dup3(*kept[i], 3 + (int)i, O_CLOEXEC) < 0)
			die_errno("codec: cannot arrange its descriptors");
		*kept[i] = 3 + (int)i;
	}
	if (syscall(__NR_close_range, first_closed, ~0u, 0) != 0)
		die_errno("codec: cannot close inherited descriptors");
}

void codec_process_main(struct codec_config *config, uint32_t uid)
{
	struct rlimit files, no_core = { 0, 0 };
	pid_t broker_pid = getppid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_NAME, "cohort-codec", 0, 0, 0) != 0)
		die_errno("codec: cannot start");
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die_errno("codec: cannot read the limit of open files");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
		die_errno("codec: cannot set its limits");
	keep_descriptors(config);
	enter_empty_root();
	become_nobody(uid);
	if (getppid() != broker_pid)
		_exit(EXIT_FAILURE);
	/* It is the one process that parses what children and the supervisor wrote: a hole in it shall find nothing to call. */
	seccomp_prepare(FILTER_CODEC);
	if (seccomp_apply() != 0)
		die_errno("codec: cannot load its system call filter");
	_exit(codec_main(config));
}
