/* The journal of one apply, in cohortd's state. It is replaced by rename, so that it always is a whole one:
 *   begun      nothing of the target was changed but the staging directory: take that away
 *   committed  everything is staged and synced: finish the operations
 *   done       how each entry went, until cohortd has written that down and removes the file
 * It is read only by the program that wrote it, or its next version: the first line names the format. */
#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_MAGIC "cohort-apply 1\n"
enum { LOCK_WAIT_MS = 60000, JOURNAL_BYTES_MAX = 512 * 1024 * 1024 };

static char journal_path[TARGET_SIZE], next_path[TARGET_SIZE + 8], lock_path[TARGET_SIZE + 8];
static int directory_fd = -1;

struct buffer {
	unsigned char *bytes;
	size_t size, at;        /* at: of reading; of writing, its size is the room */
};

void journal_open(const char *path)
{
	char directory[TARGET_SIZE];
	const char *slash = strrchr(path, '/');
	if (path[0] != '/' || slash == NULL || strlen(path) >= sizeof(journal_path))
		fatal("the journal is no absolute path");
	memcpy(journal_path, path, strlen(path) + 1);
	snprintf(next_path, sizeof(next_path), "%s.next", path);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Kept until we end. */
	int lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (directory_fd < 0 || lock_fd < 0)
		fatal("cannot open the journal: %s", strerror(errno));
	for (int waited = 0; flock(lock_fd, LOCK_EX | LOCK_NB) != 0; waited++) {
		if (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS / 10)
			fatal("the journal is in use");
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

static void put(struct buffer *buffer, const void *data, size_t size)
{
	if (size > buffer->size - buffer->at) {
		buffer->size = 2 * buffer->size + size + 4096;
		buffer->bytes = need_memory(realloc(buffer->bytes, buffer->size));
	}
	memcpy(buffer->bytes + buffer->at, data, size);
	buffer->at += size;
}

static void get(struct buffer *buffer, void *data, size_t size)
{
	if (size > buffer->size - buffer->at)
		fatal("the journal is damaged");
	memcpy(data, buffer->bytes + buffer->at, size);
	buffer->at += size;
}

static void put_operations(struct buffer *buffer, const struct plan *plan)
{
	uint64_t count = plan->count;
	put(buffer, &count, sizeof(count));
	for (size_t i = 0; i < plan->count; i++) {
		uint32_t length = (uint32_t)strlen(plan->operations[i].path);
		put(buffer, &plan->operations[i], sizeof(plan->operations[i]));
		put(buffer, &length, sizeof(length));
		put(buffer, plan->operations[i].path, length + 1);
	}
}

static void write_whole(const struct buffer *buffer)
{
	int fd = open(next_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool written = fd >= 0;
	for (size_t at = 0; written && at < buffer->at;) {
		ssize_t count = write(fd, buffer->bytes + at, buffer->at - at);
		written = count > 0;
		at += count > 0 ? (size_t)count : 0;
	}
	if (!written || fsync(fd) != 0 || close(fd) != 0 || rename(next_path, journal_path) != 0 || fsync(directory_fd) != 0)
		fatal("cannot write the journal: %s", strerror(errno));
}

void journal_write(enum journal_state state, const struct target *target, const struct plan *plan, const struct archive *archive)
{
	struct buffer buffer = { 0 };
	struct sha256 hash;
	unsigned char digest[SHA256_SIZE];
	uint32_t number = state;
	uint64_t items = archive->count;
	put(&buffer, JOURNAL_MAGIC, sizeof(JOURNAL_MAGIC));
	put(&buffer, &number, sizeof(number));
	put(&buffer, target->path, sizeof(target->path));
	put(&buffer, target->staging, sizeof(target->staging));
	put(&buffer, &target->device, sizeof(target->device));
	put(&buffer, &target->inode, sizeof(target->inode));
	put(&buffer, &items, sizeof(items));
	for (size_t i = 0; i < archive->count; i++) {
		unsigned char words[2] = { (unsigned char)archive->items[i].status, (unsigned char)archive->items[i].reason };
		put(&buffer, words, sizeof(words));
	}
	put_operations(&buffer, plan);
	sha256_start(&hash);
	sha256_add(&hash, buffer.bytes, buffer.at);
	sha256_end(&hash, digest);
	put(&buffer, digest, sizeof(digest));
	write_whole(&buffer);
	free(buffer.bytes);
	step();
}

void journal_remove(void)
{
	if ((unlink(journal_path) != 0 && errno != ENOENT) || fsync(directory_fd) != 0)
		fatal("cannot remove the journal: %s", strerror(errno));
}

static bool read_whole(struct buffer *buffer)
{
	struct stat status;
	int fd = open(journal_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0 || fstat(fd, &status) != 0 || status.st_size > JOURNAL_BYTES_MAX || status.st_size < SHA256_SIZE)
		fatal("the journal cannot be read");
	buffer->size = (size_t)status.st_size;
	buffer->bytes = need_memory(malloc(buffer->size));
	for (size_t at = 0; at < buffer->size;) {
		ssize_t count = read(fd, buffer->bytes + at, buffer->size - at);
		if (count <= 0)
			fatal("the journal cannot be read");
		at += (size_t)count;
	}
	close(fd);
	return true;
}

static void get_operations(struct buffer *buffer, struct plan *plan, size_t items)
{
	uint64_t count;
	get(buffer, &count, sizeof(count));
	if (count > 2 * (uint64_t)ENTRIES_MAX)
		fatal("the journal is damaged");
	*plan = (struct plan){ .count = (size_t)count, .operations = need_memory(calloc((size_t)count + 1, sizeof(struct operation))) };
	for (size_t i = 0; i < plan->count; i++) {
		uint32_t length;
		get(buffer, &plan->operations[i], sizeof(plan->operations[i]));
		get(buffer, &length, sizeof(length));
		if (length >= DIFF_PATH_SIZE || plan->operations[i].item >= items)
			fatal("the journal is damaged");
		char *path = need_memory(malloc(length + 1));
		get(buffer, path, length + 1);
		plan->operations[i].path = path;
	}
}

enum journal_state journal_load(struct target *target, struct plan *plan, struct archive *archive)
{
	struct buffer buffer = { 0 };
	struct sha256 hash;
	unsigned char digest[SHA256_SIZE];
	char magic[sizeof(JOURNAL_MAGIC)];
	uint32_t state;
	uint64_t items;
	if (!read_whole(&buffer))
		return JOURNAL_NONE;
	buffer.size -= SHA256_SIZE;
	sha256_start(&hash);
	sha256_add(&hash, buffer.bytes, buffer.size);
	sha256_end(&hash, digest);
	get(&buffer, magic, sizeof(magic));
	if (memcmp(magic, JOURNAL_MAGIC, sizeof(magic)) != 0 || memcmp(digest, buffer.bytes + buffer.size, sizeof(digest)) != 0)
		fatal("the journal is damaged, or of another version");
	*target = (struct target){ .fd = -1, .staging_fd = -1 };
	get(&buffer, &state, sizeof(state));
	get(&buffer, target->path, sizeof(target->path));
	get(&buffer, target->staging, sizeof(target->staging));
	get(&buffer, &target->device, sizeof(target->device));
	get(&buffer, &target->inode, sizeof(target->inode));
	get(&buffer, &items, sizeof(items));
	if (items > ENTRIES_MAX || state > JOURNAL_DONE)
		fatal("the journal is damaged");
	*archive = (struct archive){ .fd = -1, .count = (size_t)items, .items = need_memory(calloc((size_t)items + 1, sizeof(struct item))) };
	for (size_t i = 0; i < archive->count; i++) {
		unsigned char words[2];
		get(&buffer, words, sizeof(words));
		archive->items[i].status = (enum status)words[0];
		archive->items[i].reason = (enum reason)words[1];
	}
	get_operations(&buffer, plan, archive->count);
	free(buffer.bytes);
	return (enum journal_state)state;
}
