/* cohort-apply: writes what an archive of a diff says into a directory of the person, as the person. What its files share. */
#ifndef COHORT_APPLY_H
#define COHORT_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../warden/diff.h"

enum {
	ENTRIES_MAX = 200000,
	STAGING_NAME_SIZE = 64,
	TARGET_SIZE = 4096,
};

/* What is to be done with an entry, and why not; the words of the report stand in report.c. */
enum status {
	STATUS_PLANNED, STATUS_APPLIED, STATUS_HELD, STATUS_UNSELECTED, STATUS_REFUSED, STATUS_CONFLICT, STATUS_FAILED,
};
enum reason {
	REASON_NONE, REASON_PROTECTED, REASON_NOT_APPLICABLE, REASON_LINK_ESCAPES, REASON_PARENT, REASON_NOT_EMPTY, REASON_CHANGED_BEFORE,
	REASON_CHANGED, REASON_UNWRITABLE, REASON_KEPT,
};

/* What stood under a name when it was looked at. */
struct identity {
	uint32_t kind;          /* enum entry_kind */
	uint32_t mode;
	uint64_t inode, size;
	int64_t modified_ns;
};

/* One record of the archive. */
struct item {
	enum diff_record record;
	char *path;
	char *link;             /* DIFF_LINK: where to */
	uint32_t flags, mode;
	uint64_t content_at, content_size; /* in the archive */
	uint32_t before_kind, before_mode;
	uint64_t before_size, before_inode;
	int64_t before_modified_ns;
	unsigned char before_digest[SHA256_SIZE];
	bool selected, waived;  /* waived: its mark of a conflict is known to be our own doing */
	enum status status;
	enum reason reason;
	struct identity found;
};

struct archive {
	int fd;
	struct item *items;
	size_t count;
	bool truncated;
};

/* Steps of the work, each idempotent. PUT moves staged file `number` to the path; REMOVE moves what is at the path to `number`. */
enum operation_kind { OPERATION_PUT = 1, OPERATION_REMOVE, OPERATION_REMOVE_DIRECTORY, OPERATION_MAKE_DIRECTORY, OPERATION_MODE };

struct operation {
	uint32_t kind, item, mode, number;
	uint64_t staged_inode;
	struct identity before;
	const char *path;
};

struct plan {
	struct operation *operations;
	size_t count, room;
	uint32_t staged;        /* staged files and places for what is removed */
};

struct target {
	char path[TARGET_SIZE];
	char staging[STAGING_NAME_SIZE];
	int fd, staging_fd;
	uint64_t device, inode;
};

/* Ends with 2 and one line on stderr. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where a test ends the program, each time one step later; nothing in the product. */
void step(void);
void *need_memory(void *memory);

/* archive-read.c: the whole archive; fatal when it breaks a rule. */
void archive_read(struct archive *archive, int fd);

/* target.c: below the target, through no link and into no other mount. -1 with errno. */
void target_set(struct target *target, const char *path);
bool target_open(struct target *target);
int target_open_directory(const struct target *target, const char *path);
/* The directory that holds path; *name is its last component. */
int target_open_parent(const struct target *target, const char *path, const char **name);
void identity_look(int dir_fd, const char *name, struct identity *identity);
bool identity_is_same(const struct identity *a, const struct identity *b);
/* True when it still is what the archive saw below. */
bool matches_before(int dir_fd, const char *name, const struct item *item, const struct identity *found);

/* paths.c: a set of paths; those that begin with another one's directories can be asked for. */
struct paths;
struct paths *paths_new(size_t room);
void paths_add(struct paths *paths, const char *path, size_t length, uint32_t value);
/* 0 when it is not there. */
uint32_t paths_find(const struct paths *paths, const char *path, size_t length);

/* checks.c: decides each item, writing nothing. */
void check_items(const struct target *target, struct archive *archive, const char *const accepted[], size_t accepted_count);
/* plan.c: the operations of the planned items, in order. */
void plan_make(struct plan *plan, const struct archive *archive);

/* staging.c: a directory of the target in which new content is made ready. False: nothing was changed, the item says why. */
bool staging_fill(struct target *target, struct archive *archive, struct plan *plan);
void staging_remove(struct target *target);

/* journal.c: what must be finished or taken back when we are killed, and, once done, how it went. */
enum journal_state { JOURNAL_NONE, JOURNAL_BEGUN, JOURNAL_COMMITTED, JOURNAL_DONE };
/* Also waits for another cohort-apply that uses it. */
void journal_open(const char *path);
void journal_write(enum journal_state state, const struct target *target, const struct plan *plan, const struct archive *archive);
void journal_remove(void);
/* Fills target (not opened), plan, and of the archive's items status and reason. */
enum journal_state journal_load(struct target *target, struct plan *plan, struct archive *archive);

/* commit.c: runs the operations and notes in their items how it went; `again`: some may have been done before. */
void commit_run(const struct target *target, const struct plan *plan, struct archive *archive, bool again);
/* Until this returns, nothing that was done need survive a loss of power. */
void commit_sync(const struct target *target, const struct plan *plan);

/* report.c */
void report_item(size_t number, enum status status, enum reason reason);
void report_result(const char *result);

/* copy.c: an undo copy of a directory, and how the directory differs from it now. */
int copy_main(const char *source, const char *copy, uint64_t bytes_max, uint64_t files_max);
int compare_main(const char *target, const char *copy, uint64_t bytes_max, uint64_t files_max);

#endif
