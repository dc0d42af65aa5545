/* The command line of cohort-child, and what it prints. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child-tool.h"

static const char usage[] =
	"usage: cohort-child request-directory PATH [--mode ro|staged|rw] [--why TEXT] [--json]\n"
	"       cohort-child progress TEXT [FRACTION]\n"
	"\n"
	"request-directory\n"
	"Asks the person whose task this is for a directory or file of their machine, and waits for the answer.\n"
	"\n"
	"  PATH          absolute, as it is on the person's machine\n"
	"  --mode MODE   ro: read it (default) · staged: change it, to be looked at before it counts · rw: change it at once\n"
	"  --why TEXT    what it is needed for: the person reads it\n"
	"  --json        print the whole answer as one line of JSON\n"
	"\n"
	"Granted: prints where it stands now, below ~/mnt, and ends with 0. Denied: the reason on stderr, and 1. No answer: 2.\n"
	"\n"
	"progress\n"
	"Says what the task does now, for lists and live views, and how much of its work is done, from 0 to 1. The newest counts; nothing\n"
	"answers, and it never waits.\n";

_Noreturn void give_up(enum exit_status status, const char *format, ...)
{
	va_list arguments;
	fputs("cohort-child: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit((int)status);
}

struct request {
	const char *path, *mode, *why;
	bool json;
};

/* The value of --name VALUE or --name=VALUE; NULL: the argument is another. */
static const char *option(const char *name, int argc, char **argv, int *at)
{
	size_t length = strlen(name);
	const char *argument = argv[*at];
	if (strncmp(argument, name, length) != 0 || (argument[length] != '\0' && argument[length] != '='))
		return NULL;
	if (argument[length] == '=')
		return argument + length + 1;
	if (*at + 1 >= argc)
		give_up(STATUS_NO_ANSWER, "%s needs a value; see cohort-child --help", name);
	return argv[++*at];
}

static struct request read_request(int argc, char **argv)
{
	struct request request = { .mode = "ro", .why = "" };
	bool options = true;
	for (int at = 2; at < argc; at++) {
		const char *value;
		if (options && strcmp(argv[at], "--") == 0)
			options = false;
		else if (options && strcmp(argv[at], "--json") == 0)
			request.json = true;
		else if (options && (value = option("--mode", argc, argv, &at)) != NULL)
			request.mode = value;
		else if (options && (value = option("--why", argc, argv, &at)) != NULL)
			request.why = value;
		else if (options && argv[at][0] == '-')
			give_up(STATUS_NO_ANSWER, "unknown option %s; see cohort-child --help", argv[at]);
		else if (request.path == NULL)
			request.path = argv[at];
		else
			give_up(STATUS_NO_ANSWER, "one PATH at a time; see cohort-child --help");
	}
	if (request.path == NULL || request.path[0] != '/')
		give_up(STATUS_NO_ANSWER, "PATH must be absolute, as it is on the person's machine");
	if (!is_utf8(request.path))
		give_up(STATUS_NO_ANSWER, "PATH is not UTF-8, and such a path cannot be asked for");
	if (strcmp(request.mode, "ro") != 0 && strcmp(request.mode, "staged") != 0 && strcmp(request.mode, "rw") != 0)
		give_up(STATUS_NO_ANSWER, "--mode must be ro, staged or rw, not %s", request.mode);
	return request;
}

static void print_json(const struct answer *answer, bool granted)
{
	static struct json_writer writer;
	json_start(&writer);
	json_string(&writer, "answer", answer->kind);
	if (granted) {
		json_string(&writer, "path", answer->path);
		json_string(&writer, "mode", answer->mode);
	} else {
		json_string(&writer, "reason", answer->reason);
	}
	fwrite(writer.text, 1, json_finish(&writer), stdout);
}

static int request_directory(int argc, char **argv)
{
	static struct json_writer writer;
	static struct answer answer;
	struct request request = read_request(argc, argv);
	int fd = channel_open();
	uint64_t id = channel_id();
	json_start(&writer);
	json_number(&writer, "id", id);
	json_string(&writer, "ask", "directory");
	json_string(&writer, "path", request.path);
	json_string(&writer, "mode", request.mode);
	json_string(&writer, "why", request.why);
	size_t size = json_finish(&writer);
	if (size == 0)
		give_up(STATUS_NO_ANSWER, "PATH and --why are longer than %d bytes together", ASK_SIZE_MAX);
	channel_send(fd, writer.text, size);
	channel_receive(fd, id, &answer);
	bool granted = strcmp(answer.kind, "granted") == 0;
	if (request.json)
		print_json(&answer, granted);
	else if (granted)
		puts(answer.path);
	else
		fprintf(stderr, "cohort-child: denied%s%s\n", answer.reason[0] == '\0' ? "" : ": ", answer.reason);
	if (fflush(stdout) != 0)
		give_up(STATUS_NO_ANSWER, "cannot write the answer");
	return granted ? STATUS_GRANTED : STATUS_DENIED;
}

static int progress(int argc, char **argv)
{
	static struct json_writer writer;
	int at = argc > 2 && strcmp(argv[2], "--") == 0 ? 3 : 2;
	if (argc <= at || argc > at + 2)
		give_up(STATUS_NO_ANSWER, "what is done now, and how much of it is: cohort-child progress TEXT [FRACTION]");
	json_start(&writer);
	json_string(&writer, "progress", argv[at]);
	if (argc == at + 2) {
		char *end = NULL;
		double fraction = strtod(argv[at + 1], &end);
		if (end == argv[at + 1] || *end != '\0' || !(fraction >= 0 && fraction <= 1))
			give_up(STATUS_NO_ANSWER, "FRACTION must be a number from 0 to 1, not %s", argv[at + 1]);
		json_fraction(&writer, "fraction", fraction);
	}
	size_t size = json_finish(&writer);
	if (size == 0)
		give_up(STATUS_NO_ANSWER, "TEXT is longer than %d bytes", ASK_SIZE_MAX);
	channel_offer(channel_open(), writer.text, size);
	return STATUS_GRANTED;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int at = 1; at < argc && strcmp(argv[at], "--") != 0; at++)
		if (strcmp(argv[at], "--help") == 0 || (argc == 2 && strcmp(argv[at], "-h") == 0))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	if (asks_for_help(argc, argv))
		return fputs(usage, stdout) < 0 ? STATUS_NO_ANSWER : STATUS_GRANTED;
	if (argc >= 2 && strcmp(argv[1], "request-directory") == 0)
		return request_directory(argc, argv);
	if (argc >= 2 && strcmp(argv[1], "progress") == 0)
		return progress(argc, argv);
	fputs(usage, stderr);
	return STATUS_NO_ANSWER;
}
