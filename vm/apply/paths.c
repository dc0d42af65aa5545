/* A set of paths with a number each: open addressing over the paths of the archive, which outlive it. */
#include "apply.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	const char *path;
	size_t length;
	uint32_t value;
};

struct paths {
	size_t mask;
	struct slot slots[];
};

/* room: the most paths that will be added. */
struct paths *paths_new(size_t room)
{
	size_t size = 64;
	while (size < 2 * room)
		size *= 2;
	struct paths *paths = need_memory(calloc(1, sizeof(struct paths) + size * sizeof(struct slot)));
	paths->mask = size - 1;
	return paths;
}

/* The slot of the path, or the empty one where it belongs. */
static size_t slot_of(const struct paths *paths, const char *path, size_t length)
{
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)path[i]) * 1099511628211u;
	size_t at = (size_t)(hash ^ hash >> 32) & paths->mask;
	while (paths->slots[at].path != NULL &&
	       (paths->slots[at].length != length || memcmp(paths->slots[at].path, path, length) != 0))
		at = (at + 1) & paths->mask;
	return at;
}

void paths_add(struct paths *paths, const char *path, size_t length, uint32_t value)
{
	paths->slots[slot_of(paths, path, length)] = (struct slot){ .path = path, .length = length, .value = value };
}

uint32_t paths_find(const struct paths *paths, const char *path, size_t length)
{
	const struct slot *slot = &paths->slots[slot_of(paths, path, length)];
	return slot->path == NULL ? 0 : slot->value;
}
