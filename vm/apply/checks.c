/* Decides each entry of an archive before anything is written: is it asked for, may it be applied at all, and is what it was made from
 * still there? Entries of new directories follow them in the archive, those of deleted ones come before them. */
#include "apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../warden/protected-names.h"

struct checking {
	const struct target *target;
	struct archive *archive;
	struct paths *numbers;  /* path → number of its item + 1 */
	const char *const *accepted;
	size_t accepted_count;
};

static void decide(struct item *item, enum status status, enum reason reason)
{
	item->status = status;
	item->reason = reason;
}

static bool is_accepted(const struct checking *checking, const char *name)
{
	for (size_t i = 0; i < checking->accepted_count; i++)
		if (strcasecmp(checking->accepted[i], name) == 0)
			return true;
	return false;
}

static bool is_protected(const struct checking *checking, const char *path)
{
	static const char *const names[] = { PROTECTED_NAMES };
	for (const char *at = path; *at != '\0';) {
		size_t length = strcspn(at, "/");
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strlen(names[i]) == length && strncasecmp(names[i], at, length) == 0 && !is_accepted(checking, names[i]))
				return true;
		at += length + (at[length] == '/' ? 1 : 0);
	}
	return false;
}

/* Relative, and up only at its beginning and not above the target: then no other link can make more of it. */
static bool link_escapes(const struct item *item)
{
	size_t depth = 0;
	bool went_down = false;
	if (item->link[0] == '/')
		return true;
	for (const char *at = item->path; *at != '\0'; at++)
		depth += *at == '/';
	for (const char *at = item->link; *at != '\0';) {
		size_t length = strcspn(at, "/");
		if (length == 2 && at[0] == '.' && at[1] == '.') {
			if (went_down || depth == 0)
				return true;
			depth--;
		} else if (length > 1 || (length == 1 && at[0] != '.')) {
			went_down = true;
		}
		at += length + (at[length] == '/' ? 1 : 0);
	}
	return false;
}

static struct item *decided_item(const struct checking *checking, const char *path, size_t length, const struct item *before)
{
	uint32_t number = paths_find(checking->numbers, path, length);
	struct item *found = number == 0 ? NULL : &checking->archive->items[number - 1];
	return found != NULL && found < before ? found : NULL;
}

enum ancestry { ANCESTORS_STAND, ANCESTORS_MADE, ANCESTORS_REFUSED, ANCESTORS_CONFLICT };

/* Whether a directory above is one that the archive makes. */
static enum ancestry ancestry_of(const struct checking *checking, const struct item *item)
{
	enum ancestry ancestry = ANCESTORS_STAND;
	for (const char *slash = strchr(item->path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		const struct item *above = decided_item(checking, item->path, (size_t)(slash - item->path), item);
		if (above == NULL || above->before_kind == ENTRY_DIRECTORY)
			continue;
		if (above->status == STATUS_CONFLICT)
			return ANCESTORS_CONFLICT;
		if (above->status != STATUS_PLANNED || above->record != DIFF_DIRECTORY)
			return ANCESTORS_REFUSED;
		ancestry = ANCESTORS_MADE;
	}
	return ancestry;
}

/* A directory goes only when all that stands in it goes before. */
static void check_emptied(const struct checking *checking, struct item *item)
{
	int fd = target_open_directory(checking->target, item->path);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		if (fd >= 0)
			close(fd);
		decide(item, STATUS_CONFLICT, REASON_CHANGED);
		return;
	}
	for (struct dirent *entry = readdir(entries); entry != NULL && item->status == STATUS_PLANNED; entry = readdir(entries)) {
		char path[DIFF_PATH_SIZE + 256];
		size_t length = strlen(item->path), name_length = strlen(entry->d_name);
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		memcpy(path, item->path, length);
		path[length] = '/';
		memcpy(path + length + 1, entry->d_name, name_length);
		const struct item *child = decided_item(checking, path, length + 1 + name_length, item);
		if (child == NULL || child->status == STATUS_CONFLICT)
			decide(item, STATUS_CONFLICT, REASON_NOT_EMPTY);
		else if (child->status != STATUS_PLANNED || child->record != DIFF_DELETED)
			decide(item, STATUS_REFUSED, REASON_KEPT);
	}
	closedir(entries);
}

/* What stands in the target must be what the archive saw. */
static void check_target(const struct checking *checking, struct item *item)
{
	const char *name;
	int fd = target_open_parent(checking->target, item->path, &name);
	if (fd < 0) {
		decide(item, STATUS_CONFLICT, errno == EACCES ? REASON_UNWRITABLE : REASON_CHANGED);
		return;
	}
	identity_look(fd, name, &item->found);
	bool only_mode = item->record == DIFF_MODE || (item->record == DIFF_DIRECTORY && item->before_kind == ENTRY_DIRECTORY);
	if (!matches_before(fd, name, item, &item->found))
		decide(item, STATUS_CONFLICT, REASON_CHANGED);
	else if (!only_mode && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
		decide(item, STATUS_CONFLICT, REASON_UNWRITABLE);
	else if (item->before_kind == ENTRY_DIRECTORY && !only_mode)
		check_emptied(checking, item);
	close(fd);
}

static void check_item(const struct checking *checking, struct item *item)
{
	decide(item, STATUS_PLANNED, REASON_NONE);
	item->found = (struct identity){ .kind = ENTRY_ABSENT };
	enum ancestry ancestry = ancestry_of(checking, item);
	if (!item->selected)
		decide(item, STATUS_UNSELECTED, REASON_NONE);
	else if (is_protected(checking, item->path))
		decide(item, STATUS_REFUSED, REASON_PROTECTED);
	else if (item->record == DIFF_REFUSED || item->before_kind == ENTRY_OTHER || (item->record == DIFF_MODE && item->before_kind != ENTRY_FILE))
		decide(item, STATUS_REFUSED, REASON_NOT_APPLICABLE);
	else if (item->record == DIFF_LINK && link_escapes(item))
		decide(item, STATUS_REFUSED, REASON_LINK_ESCAPES);
	else if (ancestry == ANCESTORS_REFUSED)
		decide(item, STATUS_REFUSED, REASON_PARENT);
	else if (ancestry == ANCESTORS_CONFLICT)
		decide(item, STATUS_CONFLICT, REASON_PARENT);
	else if ((item->flags & DIFF_CONFLICT) != 0 && !item->waived)
		decide(item, STATUS_CONFLICT, REASON_CHANGED_BEFORE);
	else if (ancestry == ANCESTORS_STAND)
		check_target(checking, item);
	else if (item->before_kind != ENTRY_ABSENT)
		decide(item, STATUS_CONFLICT, REASON_CHANGED);
}

void check_items(const struct target *target, struct archive *archive, const char *const accepted[], size_t accepted_count)
{
	struct checking checking = { .target = target, .archive = archive, .numbers = paths_new(archive->count + 1), .accepted = accepted,
				     .accepted_count = accepted_count };
	for (size_t i = 0; i < archive->count; i++) {
		const char *path = archive->items[i].path;
		if (paths_find(checking.numbers, path, strlen(path)) != 0)
			fatal("the archive has a path twice");
		paths_add(checking.numbers, path, strlen(path), (uint32_t)i + 1);
	}
	for (size_t i = 0; i < archive->count; i++)
		check_item(&checking, &archive->items[i]);
	free(checking.numbers);
}
