/* The parts of the system call filter that look at a file's mode: chmod, open, mknod. Pure. */
#include "seccomp-emit.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>

/* In a directory mounted read-write, a file belongs to the person on the host: a set-user-id program there would hand whoever runs it
 * the person's rights, and its content is the child's. */
enum { SET_ID_BITS = S_ISUID | S_ISGID };

void emit_chmod(unsigned int mode_argument)
{
	emit_load_argument(mode_argument);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, SET_ID_BITS);
	emit_notified_refusal();
	emit_return(SECCOMP_RET_ALLOW);
}

/* The mode counts only when a file may be created; else that argument is whatever was in the register. */
void emit_open(unsigned int flags_argument)
{
	emit_load_argument(flags_argument);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 3, O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
	emit_load_argument(flags_argument + 1);
	emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, SET_ID_BITS);
	emit_notified_refusal();
	emit_return(SECCOMP_RET_ALLOW);
}

void emit_mknod(unsigned int mode_argument)
{
	emit_load_argument(mode_argument);
	emit(BPF_JMP | BPF_JSET | BPF_K, 4, 0, SET_ID_BITS);
	emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, S_IFMT);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, S_IFIFO);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, S_IFREG);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0); /* no type means a regular file */
	emit_notified_refusal();
	emit_return(SECCOMP_RET_ALLOW);
}
