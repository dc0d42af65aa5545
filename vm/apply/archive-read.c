/* Reads the archive of a diff. It was written in a sandbox: hostile. cohortd checked it once; nothing here relies on that. */
#include "apply.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reader {
	int fd;
	uint64_t at, size;      /* of the file */
	size_t used, filled;
	unsigned char buffer[64 * 1024];
};

static uint64_t position(const struct reader *reader)
{
	return reader->at - (reader->filled - reader->used);
}

static void take(struct reader *reader, void *data, size_t size)
{
	unsigned char *to = data;
	while (size > 0) {
		if (reader->used == reader->filled) {
			ssize_t count = pread(reader->fd, reader->buffer, sizeof(reader->buffer), (off_t)reader->at);
			if (count <= 0)
				fatal("the archive ends early");
			reader->at += (uint64_t)count;
			reader->used = 0;
			reader->filled = (size_t)count;
		}
		size_t room = reader->filled - reader->used, count = size < room ? size : room;
		memcpy(to, reader->buffer + reader->used, count);
		reader->used += count;
		to += count;
		size -= count;
	}
}

static uint64_t take_number(struct reader *reader, size_t width)
{
	unsigned char bytes[8];
	uint64_t number = 0;
	take(reader, bytes, width);
	for (size_t i = 0; i < width; i++)
		number = number << 8 | bytes[i];
	return number;
}

static char *take_text(struct reader *reader)
{
	size_t length = (size_t)take_number(reader, 2);
	if (length == 0 || length >= DIFF_PATH_SIZE)
		fatal("the archive has a text of %zu bytes", length);
	char *text = need_memory(malloc(length + 1));
	take(reader, text, length);
	text[length] = '\0';
	if (strlen(text) != length)
		fatal("the archive has a text with a NUL");
	return text;
}

static void pass(struct reader *reader, uint64_t size)
{
	uint64_t here = position(reader);
	if (size > reader->size || here > reader->size - size)
		fatal("the archive ends early");
	reader->at = here + size;
	reader->used = reader->filled = 0;
}

static void check_path(const char *path)
{
	unsigned int depth = 0;
	for (const char *at = path;; depth++) {
		size_t length = strcspn(at, "/");
		if (length == 0 || length > 255 || (length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.'))
			fatal("the archive has a path that no walk yields");
		if (at[length] == '\0')
			break;
		at += length + 1;
	}
	if (depth > DIFF_DEPTH_MAX)
		fatal("the archive has a path that is too deep");
}

static void take_item(struct reader *reader, struct item *item, uint64_t record)
{
	*item = (struct item){ .record = (enum diff_record)record };
	item->path = take_text(reader);
	check_path(item->path);
	item->flags = (uint32_t)take_number(reader, 1);
	item->before_kind = (uint32_t)take_number(reader, 1);
	item->before_mode = (uint32_t)take_number(reader, 4) & 07777;
	item->before_size = take_number(reader, 8);
	item->before_modified_ns = (int64_t)take_number(reader, 8);
	item->before_inode = take_number(reader, 8);
	take(reader, item->before_digest, sizeof(item->before_digest));
	if (item->before_kind > ENTRY_OTHER)
		fatal("the archive knows a kind of file that we do not");
	if (item->record == DIFF_FILE || item->record == DIFF_DIRECTORY || item->record == DIFF_MODE)
		item->mode = (uint32_t)take_number(reader, 4) & 0777;
	if (item->record == DIFF_FILE) {
		item->content_size = take_number(reader, 8);
		item->content_at = position(reader);
		pass(reader, item->content_size);
	} else if (item->record == DIFF_LINK) {
		item->link = take_text(reader);
	} else if (item->record == DIFF_REFUSED) {
		take_number(reader, 1);
	}
}

void archive_read(struct archive *archive, int fd)
{
	static struct reader reader;
	char magic[sizeof(DIFF_MAGIC) - 1];
	size_t room = 0;
	struct stat status;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		fatal("the archive is no file");
	reader = (struct reader){ .fd = fd, .size = (uint64_t)status.st_size };
	take(&reader, magic, sizeof(magic));
	if (memcmp(magic, DIFF_MAGIC, sizeof(magic)) != 0)
		fatal("this is no archive of a diff");
	*archive = (struct archive){ .fd = fd };
	for (;;) {
		uint64_t record = take_number(&reader, 1);
		if (record == DIFF_END)
			break;
		if (record > DIFF_REFUSED || archive->count >= ENTRIES_MAX)
			fatal("the archive has a record of an unknown kind, or too many");
		if (archive->count == room) {
			room = room == 0 ? 256 : 2 * room;
			archive->items = need_memory(reallocarray(archive->items, room, sizeof(archive->items[0])));
		}
		take_item(&reader, &archive->items[archive->count++], record);
	}
	archive->truncated = (take_number(&reader, 1) & DIFF_TRUNCATED) != 0;
	if (position(&reader) != reader.size)
		fatal("there is something behind the end of the archive");
}
