/* The witness: answers what the system call filter of each sandbox refuses, and tells the codec of it. */
#ifndef COHORT_WITNESS_H
#define COHORT_WITNESS_H

#include <linux/seccomp.h>

#include "base.h"

struct witness_config {
	int zygote_fd;  /* SEQPACKET: a listener_notice with the listener of each new sandbox */
	int codec_fd;   /* SEQPACKET, non-blocking: denial_notice out, count_request in */
	int proc_fd;    /* root of a procfs of the host's pid namespace that shows processes only; -1: names stay unknown */
};

/* witness.c: serves until the zygote ends. */
int witness_main(const struct witness_config *config);
/* witness-process.c: drops everything, and calls it. */
_Noreturn void witness_process_main(struct witness_config *config, uint32_t uid);
int witness_proc_open(void);

/* denial-text.c: pure. Which call it was and what it asked for, in words; nothing is read from the caller's memory. */
void denial_text(const struct seccomp_data *data, char call[DENIAL_CALL_SIZE], char detail[DENIAL_DETAIL_SIZE]);

/* caller.c: who it was. The thread must be held by its notification meanwhile. */
struct caller {
	int32_t inner_pid;                /* as its sandbox counts; 0: unknown */
	char program[DENIAL_PROGRAM_SIZE]; /* printable; empty: unknown */
};
bool caller_comm(int proc_fd, uint32_t thread, char comm[DENIAL_PROGRAM_SIZE]);
void caller_find(int proc_fd, uint32_t thread, struct caller *caller);

#endif
