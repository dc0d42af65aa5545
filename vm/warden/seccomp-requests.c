/* The parts of the system call filter that look at a command: ioctl, fcntl, prctl, madvise, prlimit, seccomp. Pure. */
#include "seccomp-emit.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>

/* The accumulator is compared with each; those that match are refused. */
static void emit_refused_values(const uint32_t *refused, size_t count, bool notified, int error_number)
{
	for (size_t i = 0; i < count; i++)
		emit(BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, refused[i]);
	emit(BPF_JMP | BPF_JA, 0, 0, 1);
	if (notified)
		emit_notified_refusal();
	else
		emit_refusal(error_number);
}

/* btrfs lets the owner of one file make a snapshot of the whole subvolume that it lies in (before Linux 6.8): all that the person has there
 * would appear in a mount of one directory. What programs use, copies that share blocks, has the same letter and stays. */
static void emit_btrfs(void)
{
	static const uint32_t shared_copies[] = { FICLONE, FICLONERANGE, FIDEDUPERANGE };
	enum { LETTER_MASK = 0xff00, BTRFS_LETTER = 0x9400 };
	emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, LETTER_MASK);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(ARRAY_LENGTH(shared_copies) + 2), BTRFS_LETTER);
	emit_load_argument(1);
	for (size_t i = 0; i < ARRAY_LENGTH(shared_copies); i++)
		emit(BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(ARRAY_LENGTH(shared_copies) - i), 0, shared_copies[i]);
	emit_refusal(EPERM);
	emit_return(SECCOMP_RET_ALLOW);
}

void emit_ioctl(void)
{
	/* Pushing input into a terminal, the console's selection, other line disciplines, redirected console output. */
	static const uint32_t terminals[] = { TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS };
	/* On a mount, even a read-only one, these outlive the child in the person's file system: keys, files that their owner cannot change
	 * again, and another project's quota. */
	static const uint32_t file_systems[] = {
		FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_REMOVE_ENCRYPTION_KEY, FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, FS_IOC_SET_ENCRYPTION_POLICY,
		FS_IOC_ENABLE_VERITY, FS_IOC_FSSETXATTR,
	};
	emit_load_argument(1);
	emit_refused_values(terminals, ARRAY_LENGTH(terminals), true, EPERM);
	emit_refused_values(file_systems, ARRAY_LENGTH(file_systems), false, EPERM);
	emit_btrfs();
}

void emit_fcntl(void)
{
	/* A lease on a file of a mount, even a read-only one, makes every open of it on the host wait (fs.lease-break-time, 45 s). 1040 is
	 * F_SETDELEG of Linux 6.19, the same for directories. */
	static const uint32_t refused[] = { F_SETLEASE, 1040 };
	emit_load_argument(1);
	emit_refused_values(refused, ARRAY_LENGTH(refused), false, EPERM);
	emit_return(SECCOMP_RET_ALLOW);
}

/* Merging equal pages lets one child find out, by the time that a write takes, what another one holds in memory. EINVAL, as on a kernel
 * that cannot do it. */
void emit_prctl(void)
{
	static const uint32_t refused[] = { 67 /* PR_SET_MEMORY_MERGE, Linux 6.4 */ };
	emit_load_argument(0);
	emit_refused_values(refused, ARRAY_LENGTH(refused), false, EINVAL);
	emit_return(SECCOMP_RET_ALLOW);
}

void emit_madvise(void)
{
	static const uint32_t refused[] = { 12 /* MADV_MERGEABLE */ };
	emit_load_argument(2);
	emit_refused_values(refused, ARRAY_LENGTH(refused), false, EINVAL);
	emit_return(SECCOMP_RET_ALLOW);
}

void emit_prlimit(void)
{
	/* Reading is open; setting only with pid 0, oneself: the init has the same uid as its children. */
	emit_load_argument(2);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0);
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * 2 + 4));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 0);
	emit_load_argument(0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
	emit_refusal(EPERM);
	emit_return(SECCOMP_RET_ALLOW);
}

void emit_refused_bits(unsigned int argument, uint32_t bits, int error_number)
{
	emit_load_argument(argument);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
	emit_refusal(error_number);
	emit_return(SECCOMP_RET_ALLOW);
}

/* A listener of a child's own could answer "continue" to what ours is asked about: of two filters that ask, the kernel asks the newest. */
void emit_own_filter(void)
{
	emit_load_argument(1);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	emit_refusal(EPERM);
	emit_return(SECCOMP_RET_ALLOW);
}
