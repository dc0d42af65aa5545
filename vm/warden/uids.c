/* Uids for sandboxes: from a range that no one else has, each given out once,
 * ever. The counter on disk is ahead of every uid in use: it is advanced by a
 * block and synced before the first uid of the block is used, so that a crash
 * wastes uids and never repeats one. Writes only the counter file. */
#include "broker.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { BLOCK = 64, LINE_SIZE = 4096 };

/* Refuses a range that [first, first + count) touches. */
static void check_range(const struct uid_source *uids, const char *file, const char *owner, uint64_t first, uint64_t count)
{
	if (count > 0 && first < (uint64_t)uids->base + uids->count && first + count > uids->base)
		die("%s gives %" PRIu64 "–%" PRIu64 " to %s, within the range for sandboxes (%u–%u); choose another with --uid-base and --uid-count",
		    file, first, first + count - 1, owner, uids->base, uids->base + uids->count - 1);
}

/* Lines `name:…`, with the first number in the field given (0 is the name), and a count in the next for subordinate ranges. */
static void check_file(const struct uid_source *uids, const char *path, int number_field, bool has_count)
{
	FILE *file = fopen(path, "re");
	char line[LINE_SIZE];
	if (file == NULL) {
		/* Subordinate ranges are optional; a passwd must be there, or we know nothing. */
		if (errno == ENOENT && has_count)
			return;
		die_errno("cannot read %s", path);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		const char *at = line;
		for (int i = 0; i < number_field && at != NULL; i++) {
			at = strchr(at, ':');
			at = at == NULL ? NULL : at + 1;
		}
		char *end = NULL;
		uint64_t first = at == NULL ? 0 : strtoull(at, &end, 10);
		if (at == NULL || end == at)
			continue;
		uint64_t count = has_count && *end == ':' ? strtoull(end + 1, NULL, 10) : 1;
		line[strcspn(line, ":")] = '\0';
		check_range(uids, path, line, first, count);
	}
	fclose(file);
}

/* Takes the next block under the file's lock, which wardens of other persons share. */
static int reserve_block(struct uid_source *uids, struct fault *fault)
{
	char text[32] = "";
	uint64_t next = uids->base, end = (uint64_t)uids->base + uids->count;
	CLEANUP_FD int fd = open(uids->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		return fail(fault, E_UID_EXHAUSTED, errno, "cannot open the uid counter %s", uids->path);
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	if (length < 0)
		return fail(fault, E_UID_EXHAUSTED, errno, "cannot read the uid counter %s", uids->path);
	if (length > 0) {
		char *stop = NULL;
		next = strtoull(text, &stop, 10);
		if (stop == text || *stop != '\n')
			return fail(fault, E_UID_EXHAUSTED, 0, "the uid counter %s does not hold a number; a uid might be reused", uids->path);
		/* A range that starts later was chosen since; one that starts lower must not bring old uids back. */
		next = next < uids->base ? uids->base : next;
	}
	if (next + BLOCK > end)
		return fail(fault, E_UID_EXHAUSTED, 0, "all uids of the range up to %" PRIu64 " were used; choose another with --uid-base", end - 1);
	format_text(text, sizeof(text), "%010" PRIu64 "\n", next + BLOCK);
	if (pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text) || fsync(fd) != 0)
		return fail(fault, E_UID_EXHAUSTED, errno, "cannot write the uid counter %s", uids->path);
	uids->next = (uint32_t)next;
	uids->block_end = (uint32_t)(next + BLOCK);
	return 0;
}

int uids_next(struct uid_source *uids, uint32_t *uid, struct fault *fault)
{
	if (uids->next >= uids->block_end && reserve_block(uids, fault) != 0)
		return -1;
	*uid = uids->next++;
	return 0;
}

int uids_take_block(struct uid_source *uids, struct uid_block *block, struct fault *fault)
{
	if (uids->next >= uids->block_end && reserve_block(uids, fault) != 0)
		return -1;
	*block = (struct uid_block){ .op = OP_UIDS, .first = uids->next, .count = uids->block_end - uids->next };
	uids->next = uids->block_end;
	return 0;
}

void uids_open(struct uid_source *uids)
{
	char *directory = uids->directory;
	/* 2^31 and above is negative for some programs; below 2^16 live people. */
	if (uids->base < 1u << 16 || uids->count < BLOCK || (uint64_t)uids->base + uids->count > 1u << 31)
		die("the uid range must lie between 65536 and 2147483647 and hold at least %d uids", BLOCK);
	check_file(uids, "/etc/passwd", 2, false);
	check_file(uids, "/etc/group", 2, false);
	check_file(uids, "/etc/subuid", 1, true);
	check_file(uids, "/etc/subgid", 1, true);
	format_text(directory, sizeof(uids->directory), "%s", uids->path);
	char *slash = strrchr(directory, '/');
	if (uids->path[0] != '/' || slash == NULL)
		die("--uid-file must be an absolute path");
	*slash = '\0';
	if (directory[0] != '\0' && mkdir(directory, 0700) != 0 && errno != EEXIST)
		die_errno("cannot make the directory %s of the uid counter", directory);
	struct fault fault;
	if (reserve_block(uids, &fault) != 0)
		die("%s", fault.detail);
}
