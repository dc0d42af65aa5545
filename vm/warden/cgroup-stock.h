/* Cgroups of v1 that serve the next sandbox: cgroup-stock.c. */
#ifndef COHORT_CGROUP_STOCK_H
#define COHORT_CGROUP_STOCK_H

#include "cgroup.h"

/* Those of a sandbox that is proven to be gone. True: they belong to the stock now, under a name that is no sandbox's; false: all is as it was. */
bool cgroup_stock_give(const struct cgroup_set *set, const char *name, const struct cgroup_limits *limits);
/* True: cgroups of this name stand in every v1 hierarchy, with the limits that *limits is set to. */
bool cgroup_stock_take(const struct cgroup_set *set, const char *name, struct cgroup_limits *limits);
/* Removes some of those that are too many, when it is quiet. */
void cgroup_stock_trim(const struct cgroup_set *set, uint64_t now_ms);
/* When cgroup_stock_trim wants to be called next; UINT64_MAX: never. */
uint64_t cgroup_stock_due_ms(void);

#endif
