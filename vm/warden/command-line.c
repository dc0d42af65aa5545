/* Overwrites the command line where the kernel put it. */
#include "command-line.h"

#include <stddef.h>
#include <string.h>

static char *start;
static size_t size;

void command_line_remember(int argc, char *argv[])
{
	if (argc < 1)
		return;
	start = argv[0];
	size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
}

void command_line_forget(void)
{
	static const char title[] = "cohort-init";
	if (size < sizeof(title))
		return;
	memset(start, 0, size);
	memcpy(start, title, sizeof(title));
}
