/* The root process that starts, watches and ends sandboxes. */
#ifndef COHORT_ZYGOTE_H
#define COHORT_ZYGOTE_H

#include "cgroup.h"

/* Sends one byte on ready_fd once the template root stands, then serves until both other processes are gone. */
struct person;
_Noreturn void zygote_main(const struct cgroup_set *cgroups, const struct person *person, int broker_fd, int codec_fd,
			    int witness_fd, int ready_fd);

#endif
