/* What cohort-apply says on stdout: a line for each entry by its number in the archive, and one for the whole. No name is ever printed. */
#include "apply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_words[] = {
	[STATUS_PLANNED] = "planned", [STATUS_APPLIED] = "applied", [STATUS_HELD] = "held", [STATUS_UNSELECTED] = "unselected",
	[STATUS_REFUSED] = "refused", [STATUS_CONFLICT] = "conflict", [STATUS_FAILED] = "failed",
};

static const char *const reason_words[] = {
	[REASON_NONE] = "-", [REASON_PROTECTED] = "protected", [REASON_NOT_APPLICABLE] = "not-applicable", [REASON_LINK_ESCAPES] = "link-escapes",
	[REASON_PARENT] = "parent", [REASON_NOT_EMPTY] = "not-empty", [REASON_CHANGED_BEFORE] = "changed-before", [REASON_CHANGED] = "changed",
	[REASON_UNWRITABLE] = "unwritable", [REASON_KEPT] = "kept",
};

void report_item(size_t number, enum status status, enum reason reason)
{
	if (printf("entry %zu %s %s\n", number, status_words[status], reason_words[reason]) < 0)
		fatal("cannot report");
}

void report_result(const char *result)
{
	if (printf("result %s\n", result) < 0 || fflush(stdout) != 0)
		fatal("cannot report");
}

void fatal(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("cohort-apply: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

void *need_memory(void *memory)
{
	if (memory == NULL)
		fatal("no memory");
	return memory;
}
