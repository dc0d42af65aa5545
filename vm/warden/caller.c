/* Who made a call that was refused: the name and number of its process, from a procfs that shows nothing else. What a child calls itself
 * is its own choice, so it becomes printable here and is never more than text. */
#include "witness.h"

#include <stdlib.h>
#include <string.h>

static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

bool caller_comm(int proc_fd, uint32_t thread, char comm[DENIAL_PROGRAM_SIZE])
{
	char path[32], text[DENIAL_PROGRAM_SIZE + 2];
	format_text(path, sizeof(path), "%u/comm", thread);
	ssize_t size = proc_fd < 0 ? -1 : read_file(proc_fd, path, text, sizeof(text));
	comm[0] = '\0';
	if (size < 1)
		return false;
	/* A line feed ends it, and may stand in it. */
	text[size - 1] = '\0';
	format_text(comm, DENIAL_PROGRAM_SIZE, "%.*s", DENIAL_PROGRAM_SIZE - 1, text);
	make_printable(comm);
	return true;
}

/* The last number of a line: of several pid namespaces, the innermost. */
static uint32_t last_number(const char *status, const char *key)
{
	const char *line = strstr(status, key);
	uint32_t number = 0;
	char *end = NULL;
	if (line == NULL)
		return 0;
	for (const char *at = line + strlen(key); *at != '\n' && *at != '\0'; at = end) {
		unsigned long value = strtoul(at, &end, 10);
		if (end == at)
			break;
		number = (uint32_t)value;
	}
	return number;
}

void caller_find(int proc_fd, uint32_t thread, struct caller *caller)
{
	char path[32], status[4096];
	*caller = (struct caller){ 0 };
	format_text(path, sizeof(path), "%u/status", thread);
	if (proc_fd < 0 || read_file(proc_fd, path, status, sizeof(status)) < 0)
		return;
	/* The name in its first line is escaped by the kernel, so that it cannot play a line. */
	caller->inner_pid = (int32_t)last_number(status, "\nNStgid:");
	uint32_t process = last_number(status, "\nTgid:");
	caller_comm(proc_fd, process != 0 ? process : thread, caller->program);
}
