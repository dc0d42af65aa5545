/* Every sandbox of the zygote, found without a look at each: jail-table.c. */
#ifndef COHORT_JAIL_TABLE_H
#define COHORT_JAIL_TABLE_H

#include "lifecycle.h"

/* Once, before the first sandbox. */
void jail_table_open(void);
/* False: every place is taken. */
bool jail_table_place(uint32_t *index);
void jail_table_add(struct jail *jail);
void jail_table_remove(struct jail *jail);
/* After its name or state has changed. */
void jail_table_note(const struct jail *jail);

/* Whoever gets a sandbox from here may change when something of it is due: that is asked anew. NULL: there is none. */
struct jail *jail_at(uint32_t index);
struct jail *jail_by_pid(pid_t pid);
struct jail *jail_by_uid(uint32_t uid);
/* That of a session; one that is only prepared has no name. */
struct jail *jail_find(const char *name);
/* The one prepared first. */
struct jail *jail_find_prepared(enum network_mode network);
/* One behind the highest index in use. */
uint32_t jail_table_end(void);

/* Does what is due. */
void jail_table_run_timers(uint64_t now_ms);
/* When jail_table_run_timers wants to be called next. */
uint64_t jail_table_due_ms(void);

#endif
