/* The system calls of the relay: a short list, every other is EPERM. It moves
 * bytes that children wrote; a hole in it shall find nothing to call. */
#include "relay.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
enum { OUR_ARCH = (int)AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { OUR_ARCH = (int)AUDIT_ARCH_AARCH64 };
#endif

enum { PROGRAM_MAX = 96 };

static const int allowed[] = {
	__NR_recvfrom, __NR_sendto, __NR_recvmsg, __NR_sendmsg, __NR_epoll_pwait, __NR_epoll_ctl, __NR_accept4, __NR_connect, __NR_fchdir,
	__NR_shutdown, __NR_setsockopt, __NR_close, __NR_brk, __NR_munmap, __NR_mremap, __NR_madvise, __NR_clock_gettime, __NR_write,
	__NR_exit, __NR_exit_group, __NR_rt_sigreturn, __NR_restart_syscall,
#ifdef __NR_epoll_wait
	__NR_epoll_wait,
#endif
};

static struct sock_filter program[PROGRAM_MAX];
static unsigned short length;

static void emit(uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t operand)
{
	if (length >= PROGRAM_MAX)
		die("the relay's system call filter is too long");
	program[length++] = (struct sock_filter){ code, if_true, if_false, operand };
}

static void emit_load(size_t offset)
{
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

int relay_filter_apply(void)
{
	const uint32_t refusal = SECCOMP_RET_ERRNO | EPERM;
	length = 0;
	emit_load(offsetof(struct seccomp_data, arch));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)OUR_ARCH);
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
	emit_load(offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LENGTH(allowed); i++) {
		emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)allowed[i]);
		emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	}
	/* Memory, but none that can be executed. */
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, __NR_mmap);
	emit_load(offsetof(struct seccomp_data, args[2]));
	emit(BPF_JMP | BPF_JSET | BPF_K, 1, 0, PROT_EXEC);
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	emit(BPF_RET | BPF_K, 0, 0, refusal);
	/* Sockets of its own only towards endpoints. */
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, __NR_socket);
	emit_load(offsetof(struct seccomp_data, args[0]));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, AF_UNIX);
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	emit(BPF_RET | BPF_K, 0, 0, refusal);
	struct sock_fprog filter = { .len = length, .filter = program };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}
