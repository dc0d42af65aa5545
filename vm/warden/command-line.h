/* What /proc/PID/cmdline shows of this process. */
#ifndef COHORT_COMMAND_LINE_H
#define COHORT_COMMAND_LINE_H

void command_line_remember(int argc, char *argv[]);
/* The init of each sandbox is a copy of the zygote, and its children may read its command line: it must not tell them the host's paths. */
void command_line_forget(void);

#endif
