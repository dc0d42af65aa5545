/* Writes records to a descriptor, buffered: what the archives of collect and diff have in common. */
#ifndef COHORT_ARCHIVE_WRITER_H
#define COHORT_ARCHIVE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive_writer {
	int fd;
	bool broken;            /* the reader is gone, or a file changed: no end record may follow */
	size_t used;
	unsigned char buffer[64 * 1024];
};

void archive_put(struct archive_writer *writer, const void *data, size_t size);
/* Big-endian, of the given width in bytes. */
void archive_put_number(struct archive_writer *writer, uint64_t number, size_t width);
/* u16 length and the bytes. */
void archive_put_text(struct archive_writer *writer, const char *text);
/* Exactly size bytes of the file: its size is already written, so that shorter content breaks the archive. */
void archive_put_content(struct archive_writer *writer, int fd, uint64_t size);
void archive_flush(struct archive_writer *writer);

#endif
