/* cohort-child: how a program in a sandbox asks its supervisor for something, or says how far it is. One small static program over the tools channel; whoever
 * speaks JSON lines over COHORT_FD needs it not. Runs with the child's rights, and is no boundary: cohortd believes nothing that it says. */
#ifndef COHORT_CHILD_TOOL_H
#define COHORT_CHILD_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LINE_SIZE = 64 * 1024,     /* of a line either way, its newline included */
	ASK_SIZE_MAX = 16 * 1024,  /* of a line that we send: such a write is not cut by the kernel */
	TEXT_SIZE = 8 * 1024,      /* of a string in an answer, decoded, with its NUL */
};

enum exit_status { STATUS_GRANTED, STATUS_DENIED, STATUS_NO_ANSWER };

_Noreturn __attribute__((format(printf, 2, 3))) void give_up(enum exit_status status, const char *format, ...);

/* json.c: a flat object, written and read. Pure. */
struct json_writer {
	char text[ASK_SIZE_MAX];
	size_t size;
	bool full;
};
void json_start(struct json_writer *writer);
void json_number(struct json_writer *writer, const char *key, uint64_t value);
/* From 0 to 1. */
void json_fraction(struct json_writer *writer, const char *key, double value);
/* Bytes that are not UTF-8 become U+FFFD. */
void json_string(struct json_writer *writer, const char *key, const char *value);
/* With its newline. 0: it did not fit. */
size_t json_finish(struct json_writer *writer);
bool is_utf8(const char *text);

struct answer {
	uint64_t id;
	char kind[16];            /* "answer" */
	char path[TEXT_SIZE], mode[16], reason[TEXT_SIZE];
};
/* False: it is no object of strings, numbers, booleans and nulls, or a string that we need is longer than its place. */
bool answer_read(struct answer *answer, const char *text, size_t size);

/* channel.c */
/* Does not return where there is no channel. */
int channel_open(void);
/* An id that no other process which shares the channel uses. */
uint64_t channel_id(void);
void channel_send(int fd, const char *line, size_t size);
/* Of what may be lost: never waits for a channel that is full. */
void channel_offer(int fd, const char *line, size_t size);
/* Waits until the answer with this id comes, as long as it takes. */
void channel_receive(int fd, uint64_t id, struct answer *answer);

#endif
