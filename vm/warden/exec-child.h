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

/* fds as in struct exec_request. */
_Noreturn void exec_child_main(const struct sandbox_plan *plan, const struct exec_request *request, const int fds[EXEC_FDS_MAX], int report_fd);

#endif
