/* Writes the records of an archive; knows no record. */
#include "archive-writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void archive_flush(struct archive_writer *writer)
{
	for (size_t done = 0; done < writer->used && !writer->broken;) {
		ssize_t count = write(writer->fd, writer->buffer + done, writer->used - done);
		if (count > 0)
			done += (size_t)count;
		else if (errno != EINTR)
			writer->broken = true;
	}
	writer->used = 0;
}

void archive_put(struct archive_writer *writer, const void *data, size_t size)
{
	const unsigned char *from = data;
	while (size > 0 && !writer->broken) {
		size_t room = sizeof(writer->buffer) - writer->used;
		size_t count = size < room ? size : room;
		memcpy(writer->buffer + writer->used, from, count);
		writer->used += count;
		from += count;
		size -= count;
		if (writer->used == sizeof(writer->buffer))
			archive_flush(writer);
	}
}

void archive_put_number(struct archive_writer *writer, uint64_t number, size_t width)
{
	unsigned char bytes[8];
	for (size_t i = 0; i < width; i++)
		bytes[i] = (unsigned char)(number >> (8 * (width - 1 - i)));
	archive_put(writer, bytes, width);
}

void archive_put_text(struct archive_writer *writer, const char *text)
{
	size_t length = strnlen(text, UINT16_MAX);
	archive_put_number(writer, length, 2);
	archive_put(writer, text, length);
}

void archive_put_content(struct archive_writer *writer, int fd, uint64_t size)
{
	static unsigned char piece[64 * 1024];
	while (size > 0 && !writer->broken) {
		ssize_t count = read(fd, piece, size < sizeof(piece) ? (size_t)size : sizeof(piece));
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			writer->broken = true;
			return;
		}
		archive_put(writer, piece, (size_t)count);
		size -= (uint64_t)count;
	}
}
