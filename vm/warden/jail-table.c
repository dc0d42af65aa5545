/* Every sandbox of the zygote. With thousands of them a look at each for every event, each in memory of its own, costs more than the event;
 * so what is searched for, and when something is due, stands apart and close together.
 *
 * Owns: which index is whose, and the copies of names, states and times. Does not own: struct jail itself (lifecycle.c).
 * Invariants:
 *   T1 What is due is asked anew of every sandbox that somebody got from here: nobody else can have changed it.
 *   T2 A pid is found here until its sandbox is removed, and given to another process only after it was reaped: jail_by_pid is for reaping. */
#include "jail-table.h"

#include <string.h>
#include <sys/mman.h>

struct card {
	uint64_t due_ms;
	uint32_t uid, name_hash;
	pid_t pid;           /* 0: the place is free */
	uint8_t state, network;
	bool claimed;
};

static struct table {
	struct jail *jails[SANDBOXES_MAX];
	struct card cards[SANDBOXES_MAX];
} *table;
static uint32_t end;

void jail_table_open(void)
{
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Clones have none of it: a copy for each, of pages that are written to all the time, would be the dearest part of their memory. */
	if (table == MAP_FAILED || madvise(table, sizeof(*table), MADV_DONTFORK) != 0)
		die_errno("zygote: no memory for the table of sandboxes");
}

static uint32_t hash(const char *name)
{
	uint32_t number = 2166136261u;
	for (; *name != '\0'; name++)
		number = (number ^ (uint8_t)*name) * 16777619u;
	return number;
}

static struct jail *touch(uint32_t index)
{
	table->cards[index].due_ms = 0;
	return table->jails[index];
}

bool jail_table_place(uint32_t *index)
{
	for (*index = 0; *index < SANDBOXES_MAX; (*index)++)
		if (table->cards[*index].pid == 0)
			return true;
	return false;
}

void jail_table_note(const struct jail *jail)
{
	struct card *card = &table->cards[jail->index];
	card->state = (uint8_t)jail->state;
	card->claimed = jail->claimed;
	card->name_hash = hash(jail->plan.name);
	card->due_ms = 0;
}

void jail_table_add(struct jail *jail)
{
	table->jails[jail->index] = jail;
	table->cards[jail->index] = (struct card){ .uid = jail->plan.uid, .pid = jail->pid, .network = (uint8_t)jail->plan.network };
	jail_table_note(jail);
	if (jail->index >= end)
		end = jail->index + 1;
}

void jail_table_remove(struct jail *jail)
{
	table->jails[jail->index] = NULL;
	table->cards[jail->index] = (struct card){ 0 };
	while (end > 0 && table->jails[end - 1] == NULL)
		end--;
}

struct jail *jail_at(uint32_t index)
{
	return index < end && table->jails[index] != NULL ? touch(index) : NULL;
}

struct jail *jail_by_pid(pid_t pid)
{
	for (uint32_t i = 0; i < end; i++)
		if (table->cards[i].pid == pid && table->cards[i].state != CLEARING)
			return touch(i);
	return NULL;
}

struct jail *jail_by_uid(uint32_t uid)
{
	for (uint32_t i = 0; i < end; i++)
		if (table->cards[i].pid != 0 && table->cards[i].uid == uid)
			return touch(i);
	return NULL;
}

struct jail *jail_find(const char *name)
{
	uint32_t wanted = hash(name);
	for (uint32_t i = 0; i < end; i++)
		if (table->cards[i].name_hash == wanted && table->cards[i].claimed && strcmp(table->jails[i]->plan.name, name) == 0)
			return touch(i);
	return NULL;
}

/* Its uid is the lowest. */
struct jail *jail_find_prepared(enum network_mode network)
{
	uint32_t first = SANDBOXES_MAX;
	for (uint32_t i = 0; i < end; i++)
		if (table->cards[i].pid != 0 && table->cards[i].state == PREPARED && table->cards[i].network == network &&
		    (first == SANDBOXES_MAX || table->cards[i].uid < table->cards[first].uid))
			first = i;
	return first == SANDBOXES_MAX ? NULL : touch(first);
}

uint32_t jail_table_end(void)
{
	return end;
}

void jail_table_run_timers(uint64_t now_ms)
{
	for (uint32_t i = 0; i < end; i++) {
		if (table->cards[i].pid == 0 || table->cards[i].due_ms > now_ms)
			continue;
		/* It may be gone after this, and its place free. */
		uint64_t due_ms = jail_run_timers(table->jails[i], now_ms);
		if (table->jails[i] != NULL)
			table->cards[i].due_ms = due_ms;
	}
}

uint64_t jail_table_due_ms(void)
{
	uint64_t due_ms = NEVER_MS;
	for (uint32_t i = 0; i < end; i++)
		if (table->cards[i].pid != 0 && table->cards[i].due_ms < due_ms)
			due_ms = table->cards[i].due_ms;
	return due_ms;
}
