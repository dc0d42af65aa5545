/* The command line of cohort-warden. */
#ifndef COHORT_OPTIONS_H
#define COHORT_OPTIONS_H

#include "broker.h"

struct options {
	struct person person;
	struct uid_source uids;
	const char *socket_path;
	uint64_t exit_when_idle_ms;
	bool foreground, has_user, has_group;
};

/* Ends the process, with what is wrong, when they cannot be used. */
void options_parse(int argc, char *argv[], struct options *options);

#endif
