/* cohort-apply: started by cohortd, as the person, with the archive as descriptor 3. Its words are for cohortd alone.
 *
 *   cohort-apply apply --target PATH --journal PATH [--partial] [--check] [--selected] [--accept NAME]…
 *       stdin: lines "only N" and "waive N", N the number of an entry
 *   cohort-apply recover --journal PATH
 *   cohort-apply copy --target PATH --copy PATH --bytes N --files N
 *   cohort-apply compare --target PATH --copy PATH --bytes N --files N
 *
 * The last line on stdout is "result WORD"; without it, the call must be made again as recover. */
#include "apply.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARCHIVE_FD = 3, ACCEPTED_MAX = 64 };

struct options {
	const char *target, *journal, *copy;
	uint64_t bytes_max, files_max;
	bool partial, check, selected;
	const char *accepted[ACCEPTED_MAX];
	size_t accepted_count;
};

#ifdef COHORT_APPLY_STEPS
void step(void)
{
	static long left = -1;
	if (left < 0)
		left = strtol(getenv("COHORT_APPLY_STEPS"), NULL, 10);
	if (left-- == 0)
		kill(getpid(), SIGKILL);
}
#else
void step(void)
{
}
#endif

static const char *const result_words[] = { [JOURNAL_NONE] = "none", [JOURNAL_BEGUN] = "rolled-back" };

static void read_options(struct options *options, int argc, char *argv[])
{
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--partial") == 0) {
			options->partial = true;
			continue;
		}
		if (strcmp(argv[i], "--check") == 0) {
			options->check = true;
			continue;
		}
		if (strcmp(argv[i], "--selected") == 0) {
			options->selected = true;
			continue;
		}
		if (strcmp(argv[i], "--target") == 0)
			options->target = value;
		else if (strcmp(argv[i], "--journal") == 0)
			options->journal = value;
		else if (strcmp(argv[i], "--copy") == 0)
			options->copy = value;
		else if (strcmp(argv[i], "--bytes") == 0)
			options->bytes_max = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--files") == 0)
			options->files_max = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--accept") == 0 && options->accepted_count < ACCEPTED_MAX)
			options->accepted[options->accepted_count++] = value;
		else
			fatal("unknown option");
		i++;
	}
}

static void read_selection(const struct options *options, struct archive *archive)
{
	char line[64], word[16];
	size_t number;
	for (size_t i = 0; i < archive->count; i++)
		archive->items[i].selected = !options->selected;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "%15s %zu", word, &number) != 2 || number >= archive->count)
			fatal("a selection that names no entry");
		if (strcmp(word, "only") == 0)
			archive->items[number].selected = true;
		else if (strcmp(word, "waive") == 0)
			archive->items[number].waived = true;
		else
			fatal("a selection that we do not know");
	}
}

static size_t count_status(const struct archive *archive, enum status status)
{
	size_t count = 0;
	for (size_t i = 0; i < archive->count; i++)
		count += archive->items[i].status == status;
	return count;
}

static int report(struct archive *archive, const char *result)
{
	for (size_t i = 0; i < archive->count; i++)
		report_item(i, archive->items[i].status, archive->items[i].reason);
	report_result(result);
	return 0;
}

static const char *result_of(const struct archive *archive)
{
	return count_status(archive, STATUS_CONFLICT) + count_status(archive, STATUS_FAILED) == 0 ? "applied" : "partly";
}

/* The operations, and everything behind them. */
static int finish(struct target *target, struct plan *plan, struct archive *archive, bool again)
{
	commit_run(target, plan, archive, again);
	commit_sync(target, plan);
	step();
	/* Before what it tells of is cleared away: without it, a second run would take what is missing for done. */
	journal_write(JOURNAL_DONE, target, &(struct plan){ 0 }, archive);
	staging_remove(target);
	return report(archive, result_of(archive));
}

static void name_staging(struct target *target)
{
	uint64_t number;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		fatal("no random numbers");
	snprintf(target->staging, sizeof(target->staging), ".cohort-apply-%016llx", (unsigned long long)number);
}

static int apply_main(const struct options *options)
{
	static struct target target;
	struct archive archive, before;
	struct plan plan;
	journal_open(options->journal);
	if (journal_load(&target, &plan, &before) != JOURNAL_NONE)
		fatal("an earlier apply is not finished");
	archive_read(&archive, ARCHIVE_FD);
	if (archive.truncated) {
		report_result("incomplete");
		return 0;
	}
	target_set(&target, options->target);
	if (!target_open(&target)) {
		report_result("target-gone");
		return 0;
	}
	read_selection(options, &archive);
	check_items(&target, &archive, options->accepted, options->accepted_count);
	bool held = !options->partial && count_status(&archive, STATUS_CONFLICT) > 0;
	for (size_t i = 0; i < archive.count && held; i++)
		if (archive.items[i].status == STATUS_PLANNED)
			archive.items[i].status = STATUS_HELD;
	if (held || options->check || count_status(&archive, STATUS_PLANNED) == 0)
		return report(&archive, held ? "conflict" : options->check ? "checked" : "nothing");
	plan_make(&plan, &archive);
	name_staging(&target);
	journal_write(JOURNAL_BEGUN, &target, &(struct plan){ 0 }, &archive);
	if (!staging_fill(&target, &archive, &plan)) {
		int error_number = errno;
		staging_remove(&target);
		journal_remove();
		fatal("cannot write into the target: %s", strerror(error_number));
	}
	journal_write(JOURNAL_COMMITTED, &target, &plan, &archive);
	return finish(&target, &plan, &archive, false);
}

static int recover_main(const struct options *options)
{
	static struct target target;
	struct archive archive;
	struct plan plan;
	journal_open(options->journal);
	enum journal_state state = journal_load(&target, &plan, &archive);
	if (state != JOURNAL_NONE) {
		uint64_t device = target.device, inode = target.inode;
		bool is_there = target_open(&target) && target.device == device && target.inode == inode;
		if (state == JOURNAL_DONE) {
			if (is_there)
				staging_remove(&target);
			return report(&archive, result_of(&archive));
		}
		/* Another directory has its name now: nothing there is ours to change. */
		if (!is_there) {
			journal_remove();
			report_result("target-gone");
			return 0;
		}
		target.staging_fd = target_open_directory(&target, target.staging);
		if (state == JOURNAL_COMMITTED)
			return finish(&target, &plan, &archive, true);
		staging_remove(&target);
		journal_remove();
	}
	report_result(result_words[state]);
	return 0;
}

int main(int argc, char *argv[])
{
	static struct options options;
	umask(077);
	if (argc < 2)
		fatal("no command");
	read_options(&options, argc, argv);
	if (strcmp(argv[1], "apply") == 0 && options.target != NULL && options.journal != NULL)
		return apply_main(&options);
	if (strcmp(argv[1], "recover") == 0 && options.journal != NULL)
		return recover_main(&options);
	if (options.target == NULL || options.copy == NULL)
		fatal("unknown command, or something is missing");
	if (strcmp(argv[1], "copy") == 0)
		return copy_main(options.target, options.copy, options.bytes_max, options.files_max);
	if (strcmp(argv[1], "compare") == 0)
		return compare_main(options.target, options.copy, options.bytes_max, options.files_max);
	fatal("unknown command");
}
