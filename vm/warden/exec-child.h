/* The process between fork and execve: exec-child.c. */
#ifndef COHORT_EXEC_CHILD_H
#define COHORT_EXEC_CHILD_H

#include "sandbox.h"

/* Written to the init's pipe before execve (no error, with the layers), and again if execve fails. */
struct start_report {
	uint32_t error;
	int32_t sys_errno;
	uint32_t layers;
	char detail[DETAIL_SIZE];
};

/* As fork: the pid, or -1 with errno. fds as in struct exec_request. Alone: the sandbox has no other process than the caller, so nobody can
 * stop the new one; it borrows the caller's memory until it executes, which spares a copy, and the caller waits so long. */
pid_t exec_child_start(const struct sandbox_plan *plan, const struct exec_request *request, const int fds[EXEC_FDS_MAX], int report_fd, bool alone);

#endif
