/* Copies of sources lie in memory, and belong to no sandbox when they are made. The processes that fill them are in a cgroup of their own,
 * to which the kernel charges what they write for as long as it is there: all copies together are bounded, and nothing is to be counted. */
#include "broker.h"
#include "cgroup.h"

#include <sys/sysinfo.h>

#define COPIES_CGROUP "copies"
/* Four of the largest, and never more than this part of the machine. */
enum { COPIES_MIB_MAX = 2048, MACHINE_PART = 4, PROCESSES_MAX = 1024 };

static const struct cgroup_set *cgroups;

void copies_open(const struct cgroup_set *set)
{
	struct sysinfo machine;
	struct fault fault;
	if (sysinfo(&machine) != 0)
		die_errno("cannot read the size of the memory");
	uint64_t part = (uint64_t)machine.totalram * machine.mem_unit / MACHINE_PART, most = (uint64_t)COPIES_MIB_MAX << 20;
	const struct cgroup_limits limits = { .memory_bytes = part < most ? part : most, .pids_max = PROCESSES_MAX };
	if (cgroup_create(set, COPIES_CGROUP, &limits, &fault) != 0)
		complain("what cannot be idmapped is not given to children at all: %s", fault.detail);
	else
		cgroups = set;
}

bool copies_join(void)
{
	return cgroups != NULL && cgroup_join_v1(cgroups, COPIES_CGROUP) == 0 && write_file(cgroups->v2_fd, COPIES_CGROUP "/cgroup.procs", "0") == 0;
}

uint64_t copies_refused(void)
{
	return cgroups == NULL ? 0 : cgroup_oom_kills(cgroups, COPIES_CGROUP);
}
