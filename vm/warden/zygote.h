/* The root process that starts, watches and ends sandboxes. */
#ifndef COHORT_ZYGOTE_H
#define COHORT_ZYGOTE_H

#include "cgroup.h"

struct zygote_sockets {
	int broker, codec, witness, relay;
};

/* Sends one byte on ready_fd once the template root stands, then serves until both other processes are gone. */
struct person;
_Noreturn void zygote_main(const struct cgroup_set *cgroups, const struct person *person,
			    const struct zygote_sockets *sockets, int ready_fd);

#endif
