/* From the planned entries of an archive to operations, each of which the kernel does at once. Pure. */
#include "apply.h"

#include <stdlib.h>

static struct operation *add(struct plan *plan, uint32_t kind, const struct archive *archive, size_t number)
{
	if (plan->count == plan->room) {
		plan->room = plan->room == 0 ? 256 : 2 * plan->room;
		plan->operations = need_memory(reallocarray(plan->operations, plan->room, sizeof(plan->operations[0])));
	}
	struct operation *operation = &plan->operations[plan->count++];
	*operation = (struct operation){ .kind = kind, .item = (uint32_t)number, .mode = archive->items[number].mode,
					 .before = archive->items[number].found, .path = archive->items[number].path };
	if (kind == OPERATION_PUT || kind == OPERATION_REMOVE)
		operation->number = plan->staged++;
	return operation;
}

static void add_removal(struct plan *plan, const struct archive *archive, size_t number)
{
	bool is_directory = archive->items[number].found.kind == ENTRY_DIRECTORY;
	add(plan, is_directory ? OPERATION_REMOVE_DIRECTORY : OPERATION_REMOVE, archive, number);
}

/* Its owner must be able to work in it until the end. */
static bool closes(const struct item *item)
{
	return item->record == DIFF_DIRECTORY && (item->mode & 0700) != 0700;
}

static void add_item(struct plan *plan, const struct archive *archive, size_t number)
{
	const struct item *item = &archive->items[number];
	if (item->record == DIFF_DELETED) {
		add_removal(plan, archive, number);
	} else if (item->record == DIFF_FILE || item->record == DIFF_LINK) {
		if (item->found.kind == ENTRY_DIRECTORY)
			add_removal(plan, archive, number);
		struct operation *put = add(plan, OPERATION_PUT, archive, number);
		if (item->found.kind == ENTRY_DIRECTORY)
			put->before = (struct identity){ .kind = ENTRY_ABSENT };
	} else if (item->record == DIFF_DIRECTORY && item->found.kind != ENTRY_DIRECTORY) {
		if (item->found.kind != ENTRY_ABSENT)
			add_removal(plan, archive, number);
		add(plan, OPERATION_MAKE_DIRECTORY, archive, number)->mode |= 0700;
	} else if (!closes(item)) {
		add(plan, OPERATION_MODE, archive, number);
	}
}

void plan_make(struct plan *plan, const struct archive *archive)
{
	*plan = (struct plan){ 0 };
	for (size_t i = 0; i < archive->count; i++)
		if (archive->items[i].status == STATUS_PLANNED)
			add_item(plan, archive, i);
	for (size_t i = archive->count; i > 0; i--)
		if (archive->items[i - 1].status == STATUS_PLANNED && closes(&archive->items[i - 1]))
			add(plan, OPERATION_MODE, archive, i - 1)->before.kind = ENTRY_DIRECTORY;
}
