/* What the codec and the witness have in common: a fork of root becomes a process that has an empty root, no name space of the host's
 * but the one of processes, a uid of nobody, no capability, and the descriptors that it was given. */
#include "nobody.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const char *role;

void nobody_prepare(const char *name)
{
	struct rlimit files, no_core = { 0, 0 };
	role = name;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_NAME, name, 0, 0, 0) != 0)
		die_errno("%s: cannot start", role);
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die_errno("%s: cannot read the limit of open files", role);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
		die_errno("%s: cannot set its limits", role);
}

void nobody_keep(int *const kept[], size_t count)
{
	int first_closed = 3 + (int)count;
	for (size_t i = 0; i < count; i++) {
		if (*kept[i] < 0)
			continue;
		*kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, first_closed);
		if (*kept[i] < 0)
			die_errno("%s: cannot arrange its descriptors", role);
	}
	for (size_t i = 0; i < count; i++) {
		int place = 3 + (int)i;
		if (*kept[i] < 0)
			close(place);
		else if (dup3(*kept[i], place, O_CLOEXEC) < 0)
			die_errno("%s: cannot arrange its descriptors", role);
		*kept[i] = *kept[i] < 0 ? -1 : place;
	}
	if (syscall(__NR_close_range, first_closed, ~0u, 0) != 0)
		die_errno("%s: cannot close inherited descriptors", role);
}

void nobody_enter_empty_root(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die_errno("%s: cannot leave the host's namespaces", role);
	CLEANUP_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "4k", 0) != 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		die_errno("%s: cannot make an empty root", role);
	CLEANUP_FD int root_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root_fd < 0 || move_mount(root_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) != 0 || fchdir(root_fd) != 0 ||
	    syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		die_errno("%s: cannot enter an empty root", role);
}

void nobody_become(uint32_t uid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) != 0)
		die_errno("%s: cannot lock the securebits", role);
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			die_errno("%s: cannot drop capability %lu", role, capability);
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0 || syscall(SYS_capset, &header, none) != 0)
		die_errno("%s: cannot become uid %u", role, uid);
	/* After setresuid, which clears the signal and sets dumpable. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die_errno("%s: cannot give up its privileges", role);
}
