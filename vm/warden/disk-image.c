/* A session disk that is a file system of its own: an image without a name,
 * formatted here and now, on a loop device that the kernel gives back with the
 * last mount. Runs as root in the host's mount namespace, in the process of one
 * creation. The kernel never mounts bytes that a child wrote: every image is
 * fresh, and gone with its session. */
#include "broker.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { LOOP_TRIES_MAX = 64, LOOP_MAJOR = 7, BLOCK_SIZE_BYTES = 4096, FORMAT_FD = 3, DISK_BYTES_MIN = 1 << 20 };

/* Its space is taken now: a host disk that fills up later must not be an I/O error in a sandbox. */
static int make_image(const char *directory, const struct sandbox_limits *limits, struct fault *fault)
{
	CLEANUP_FD int image = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (image < 0 || fallocate(image, 0, 0, (off_t)limits->disk_bytes) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot make a disk of %" PRIu64 " bytes in %.100s", limits->disk_bytes, directory);
	return steal_fd(&image);
}

_Noreturn static void format_main(int image, const struct sandbox_limits *limits)
{
	static const char *const programs[] = { "/usr/sbin/mke2fs", "/sbin/mke2fs" };
	char inodes[24], path[32], *const environment[] = { NULL };
	format_text(inodes, sizeof(inodes), "%" PRIu64, limits->disk_inodes);
	format_text(path, sizeof(path), "/proc/self/fd/%d", FORMAT_FD);
	/* No journal: nobody mounts it a second time. Nothing is reserved for root, who does not write there. */
	const char *const arguments[] = {
		"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-m", "0", "-b", "4096", "-N", inodes,
		"-E", "lazy_itable_init=1,nodiscard", path, NULL,
	};
	CLEANUP_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CLEANUP_FD int moved = fcntl(image, F_DUPFD_CLOEXEC, FORMAT_FD + 1);
	if (null_fd < 0 || moved < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 || dup2(null_fd, STDERR_FILENO) < 0 ||
	    dup2(moved, FORMAT_FD) < 0)
		_exit(EXIT_FAILURE);
	for (size_t i = 0; i < ARRAY_LENGTH(programs); i++)
		execve(programs[i], (char *const *)(uintptr_t)arguments, environment);
	_exit(errno == ENOENT ? 127 : EXIT_FAILURE);
}

static int format_image(int image, const struct sandbox_limits *limits, struct fault *fault)
{
	int wait_status = 0;
	pid_t pid = fork();
	if (pid == 0)
		format_main(image, limits);
	if (pid < 0 || waitpid(pid, &wait_status, 0) != pid)
		return fail(fault, E_SETUP_FAILED, errno, "cannot format a disk");
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 127)
		return fail(fault, E_SETUP_FAILED, 0, "a disk of kind ext4 needs mke2fs, from the package e2fsprogs");
	if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)
		return fail(fault, E_SETUP_FAILED, 0, "mke2fs refused a disk of %" PRIu64 " bytes with %" PRIu64 " inodes", limits->disk_bytes, limits->disk_inodes);
	return 0;
}

/* Another process may take the device between the answer and our use of it: then the next one. */
static int attach_loop(int image, char path[32], struct fault *fault)
{
	struct loop_config config = { .fd = (uint32_t)image, .block_size = BLOCK_SIZE_BYTES, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
	CLEANUP_FD int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return fail(fault, E_SETUP_FAILED, errno, "a disk of kind ext4 needs loop devices: cannot open /dev/loop-control");
	for (int tries = 0; tries < LOOP_TRIES_MAX; tries++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return fail(fault, E_SETUP_FAILED, errno, "there is no free loop device");
		format_text(path, 32, "/dev/loop%d", number);
		/* A /dev that nobody keeps in step lacks the node. */
		if (mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned int)number)) != 0 && errno != EEXIST)
			return fail(fault, E_SETUP_FAILED, errno, "cannot make %s", path);
		CLEANUP_FD int device = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) == 0)
			return steal_fd(&device);
		if (device >= 0 && errno != EBUSY)
			return fail(fault, E_SETUP_FAILED, errno, "cannot use %s", path);
	}
	return fail(fault, E_SETUP_FAILED, EBUSY, "every free loop device was taken by another");
}

static int mount_device(const char *path, struct fault *fault)
{
	CLEANUP_FD int context = fsopen("ext4", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", path, 0) != 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount a fresh ext4 from %s", path);
	int mount_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
	if (mount_fd < 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot mount a fresh ext4 from %s", path);
	return mount_fd;
}

int disk_image_mount(const char *directory, const struct sandbox_limits *limits, struct fault *fault)
{
	char path[32];
	if (limits->disk_bytes < DISK_BYTES_MIN || limits->disk_inodes > limits->disk_bytes / 1024)
		return fail(fault, E_SETUP_FAILED, 0, "a disk of kind ext4 has at least %d bytes, and 1024 for each inode", DISK_BYTES_MIN);
	CLEANUP_FD int image = make_image(directory, limits, fault);
	if (image < 0 || format_image(image, limits, fault) != 0)
		return -1;
	CLEANUP_FD int device = attach_loop(image, path, fault);
	/* While it is open it is ours; from then on the mount keeps it. */
	CLEANUP_FD int disk = device < 0 ? -1 : mount_device(path, fault);
	if (disk < 0)
		return -1;
	if (unlinkat(disk, "lost+found", AT_REMOVEDIR) != 0 || mkdirat(disk, "out", 0700) != 0 || mkdirat(disk, "mnt", 0755) != 0)
		return fail(fault, E_SETUP_FAILED, errno, "cannot fill a fresh disk");
	return steal_fd(&disk);
}
