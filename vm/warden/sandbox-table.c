/* Entries of sandboxes and execs; see sandbox-table.h. */
#include "sandbox-table.h"

#include <stdlib.h>
#include <string.h>

#include "base.h"

enum { WAITERS_MAX = 64 };

static uint32_t bucket_of(const char *name)
{
	/* FNV-1a: names come from the person's own supervisor, nobody gains by collisions. */
	uint32_t hash = 2166136261u;
	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash % TABLE_BUCKETS;
}

struct sandbox *table_find(const struct sandbox_table *table, const char *name)
{
	struct sandbox *sandbox = table->buckets[bucket_of(name)];
	while (sandbox != NULL && strcmp(sandbox->name, name) != 0)
		sandbox = sandbox->hash_next;
	return sandbox;
}

struct sandbox *table_add(struct sandbox_table *table, const char *name)
{
	struct sandbox *sandbox = calloc(1, sizeof *sandbox);
	if (sandbox == NULL)
		return NULL;
	memcpy(sandbox->name, name, strnlen(name, sizeof sandbox->name - 1));
	sandbox->init_watch = (struct watch){.kind = WATCH_INIT, .fd = -1};
	sandbox->to_init = (struct packet_queue){.socket_fd = -1, .count_max = 4 * EXECS_MAX};
	uint32_t bucket = bucket_of(name);
	sandbox->hash_next = table->buckets[bucket];
	table->buckets[bucket] = sandbox;
	sandbox->previous = table->last;
	if (table->last == NULL)
		table->first = sandbox;
	else
		table->last->next = sandbox;
	table->last = sandbox;
	table->count++;
	return sandbox;
}

static void close_init(struct sandbox *sandbox)
{
	packet_discard_all(&sandbox->to_init);
	close_fd(&sandbox->init_watch.fd);
	sandbox->to_init.socket_fd = -1;
}

static void free_grants(struct sandbox *sandbox)
{
	free(sandbox->grants);
	sandbox->grants = NULL;
	sandbox->grant_count = sandbox->grant_capacity = 0;
}

void table_set_gone(struct sandbox_table *table, struct sandbox *sandbox, uint64_t now_ms)
{
	close_init(sandbox);
	free_grants(sandbox);
	sandbox->state = SANDBOX_GONE;
	sandbox->gone_ms = now_ms;
	sandbox->destroying = false;
	table->count--;
	table->gone_count++;
}

void table_remove(struct sandbox_table *table, struct sandbox *sandbox)
{
	while (sandbox->first_exec != NULL)
		exec_remove(table, sandbox->first_exec, false);
	close_init(sandbox);
	free_grants(sandbox);
	waiters_free(&sandbox->create_waiters);
	waiters_free(&sandbox->destroy_waiters);
	struct sandbox **link = &table->buckets[bucket_of(sandbox->name)];
	while (*link != sandbox)
		link = &(*link)->hash_next;
	*link = sandbox->hash_next;
	*(sandbox->previous ? &sandbox->previous->next : &table->first) = sandbox->next;
	*(sandbox->next ? &sandbox->next->previous : &table->last) = sandbox->previous;
	if (sandbox->state == SANDBOX_GONE)
		table->gone_count--;
	else
		table->count--;
	sandbox->removed = true;
	sandbox->hash_next = table->removed;
	table->removed = sandbox;
}

void table_collect(struct sandbox_table *table)
{
	while (table->removed != NULL) {
		struct sandbox *sandbox = table->removed;
		table->removed = sandbox->hash_next;
		free(sandbox);
	}
	while (table->removed_execs != NULL) {
		struct exec *exec = table->removed_execs;
		table->removed_execs = exec->next;
		free(exec);
	}
}

struct exec *exec_find(const struct sandbox *sandbox, uint32_t id)
{
	struct exec *exec = sandbox->first_exec;
	while (exec != NULL && exec->id != id)
		exec = exec->next;
	return exec;
}

static void append_exec(struct sandbox *sandbox, struct exec *exec)
{
	exec->next = NULL;
	exec->previous = sandbox->last_exec;
	*(sandbox->last_exec ? &sandbox->last_exec->next : &sandbox->first_exec) = exec;
	sandbox->last_exec = exec;
}

static void unlink_exec(struct sandbox *sandbox, struct exec *exec)
{
	*(exec->previous ? &exec->previous->next : &sandbox->first_exec) = exec->next;
	*(exec->next ? &exec->next->previous : &sandbox->last_exec) = exec->previous;
}

struct exec *exec_add(struct sandbox *sandbox, uint32_t id)
{
	struct exec *exec = calloc(1, sizeof *exec);
	if (exec == NULL)
		return NULL;
	exec->id = id;
	exec->sandbox = sandbox;
	exec->out_watch[OUT_STDOUT] = (struct watch){.kind = WATCH_STDOUT, .fd = -1};
	exec->out_watch[OUT_STDERR] = (struct watch){.kind = WATCH_STDERR, .fd = -1};
	exec->in_watch = (struct watch){.kind = WATCH_STDIN, .fd = -1};
	exec->out_watch[OUT_TOOLS] = (struct watch){.kind = WATCH_TOOLS, .fd = -1};
	for (size_t index = 0; index < OUT_COUNT; index++)
		exec->drain_until[index] = UINT64_MAX;
	append_exec(sandbox, exec);
	sandbox->exec_count++;
	return exec;
}

void exec_remove(struct sandbox_table *table, struct exec *exec, bool remember)
{
	struct sandbox *sandbox = exec->sandbox;
	unlink_exec(sandbox, exec);
	sandbox->exec_count--;
	if (remember)
		sandbox->ended_execs[sandbox->ended_execs_next++ % ENDED_EXECS_REMEMBERED] = exec->id;
	waiters_free(&exec->waiters);
	close_fd(&exec->in_watch.fd);
	for (size_t index = 0; index < OUT_COUNT; index++) {
		close_fd(&exec->out_watch[index].fd);
		ring_free(&exec->out[index].ring, &table->budget);
	}
	for (size_t index = 0; index < IN_COUNT; index++)
		ring_free(&exec->in[index].ring, &table->budget);
	exec->removed = true;
	exec->next = table->removed_execs;
	table->removed_execs = exec;
}

void exec_rotate(struct exec *exec)
{
	if (exec->next == NULL)
		return;
	unlink_exec(exec->sandbox, exec);
	append_exec(exec->sandbox, exec);
}

bool exec_ended_before(const struct sandbox *sandbox, uint32_t id)
{
	for (size_t index = 0; index < ENDED_EXECS_REMEMBERED; index++)
		if (sandbox->ended_execs[index] == id)
			return true;
	return false;
}

bool waiter_add(struct waiter **waiters, uint32_t seq)
{
	size_t waiting = 0;
	for (const struct waiter *other = *waiters; other != NULL; other = other->next)
		waiting++;
	struct waiter *waiter = waiting < WAITERS_MAX ? malloc(sizeof *waiter) : NULL;
	if (waiter == NULL)
		return false;
	*waiter = (struct waiter){.next = *waiters, .seq = seq};
	*waiters = waiter;
	return true;
}

void waiters_free(struct waiter **waiters)
{
	while (*waiters != NULL) {
		struct waiter *waiter = *waiters;
		*waiters = waiter->next;
		free(waiter);
	}
}
