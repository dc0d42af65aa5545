/* Pseudo-terminals of the warden's own devpts. */
#ifndef COHORT_PTY_H
#define COHORT_PTY_H

#include <stdbool.h>
#include <stdint.h>

struct pty {
	int master; /* non-blocking */
	int slave;
};

/* 0, or -1 with errno and nothing open. */
int pty_open(struct pty *pty, int devpts_fd, uint32_t rows, uint32_t columns);
int pty_resize(int master, uint32_t rows, uint32_t columns);

#endif
