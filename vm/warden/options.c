/* Parses the command line that a launcher, already root, wrote. Pure but for ending the process. */
#include "options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: cohort-warden --user UID --gid GID [--groups G,G,…] --socket PATH\n"
	"                     [--uid-file PATH] [--uid-base N --uid-count N] [--exit-when-idle-ms N] [--foreground]\n"
	"Builds and destroys sandboxes for the one person of that UID. Must be run as root.\n";

static uint64_t parse_number(const char *text, const char *option, uint64_t max)
{
	char *end = NULL;
	errno = 0;
	uint64_t number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number > max)
		die("%s needs a number up to %" PRIu64 ", not \"%s\"", option, max, text);
	return number;
}

static void parse_groups(char *list, struct person *person)
{
	char *rest = NULL;
	for (char *group = strtok_r(list, ",", &rest); group != NULL; group = strtok_r(NULL, ",", &rest)) {
		if (person->group_count == ARRAY_LENGTH(person->groups))
			die("--groups takes at most %zu groups", ARRAY_LENGTH(person->groups));
		person->groups[person->group_count++] = (gid_t)parse_number(group, "--groups", UINT32_MAX - 1);
	}
}

void options_parse(int argc, char *argv[], struct options *options)
{
	static const struct option known[] = {
		{ "user", required_argument, NULL, 'u' }, { "gid", required_argument, NULL, 'g' }, { "groups", required_argument, NULL, 'G' },
		{ "socket", required_argument, NULL, 's' }, { "uid-file", required_argument, NULL, 'f' }, { "uid-base", required_argument, NULL, 'b' },
		{ "uid-count", required_argument, NULL, 'c' }, { "exit-when-idle-ms", required_argument, NULL, 'i' },
		{ "foreground", no_argument, NULL, 'F' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	*options = (struct options){ .uids = { .path = "/var/lib/cohort-warden/next-uid", .base = 1900000000, .count = 60000000 } };
	for (int option = getopt_long(argc, argv, "", known, NULL); option != -1; option = getopt_long(argc, argv, "", known, NULL)) {
		switch (option) {
		case 'u':
			options->person.uid = (uint32_t)parse_number(optarg, "--user", UINT32_MAX - 1);
			options->has_user = true;
			break;
		case 'g':
			options->person.gid = (uint32_t)parse_number(optarg, "--gid", UINT32_MAX - 1);
			options->has_group = true;
			break;
		case 'G':
			parse_groups(optarg, &options->person);
			break;
		case 's':
			options->socket_path = optarg;
			break;
		case 'f':
			options->uids.path = optarg;
			break;
		case 'b':
			options->uids.base = (uint32_t)parse_number(optarg, "--uid-base", UINT32_MAX);
			break;
		case 'c':
			options->uids.count = (uint32_t)parse_number(optarg, "--uid-count", UINT32_MAX);
			break;
		case 'i':
			options->exit_when_idle_ms = parse_number(optarg, "--exit-when-idle-ms", UINT64_MAX / 2);
			break;
		case 'F':
			options->foreground = true;
			break;
		default:
			fputs(usage, option == 'h' ? stdout : stderr);
			exit(option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
		}
	}
	if (optind != argc || !options->has_user || !options->has_group || options->socket_path == NULL) {
		fputs(usage, stderr);
		exit(EXIT_FAILURE);
	}
	if (options->person.uid == 0 || options->person.gid == 0)
		die("--user and --gid must not be 0: root's files are never mapped to a sandbox; run Cohort as an ordinary user");
}
