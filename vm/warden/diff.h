/* Compares two trees and writes what differs as the archive of docs/design/staged.md. Used by the init of a sandbox (kind-2 execs),
 * confined, and by cohort-apply for undo copies, as the person. Trusts no name, follows no link, keeps every list bounded. */
#ifndef COHORT_DIFF_H
#define COHORT_DIFF_H

#include "archive-writer.h"
#include "sha256.h"

#include <stdbool.h>
#include <stdint.h>

enum diff_record { DIFF_END, DIFF_FILE, DIFF_DIRECTORY, DIFF_LINK, DIFF_DELETED, DIFF_MODE, DIFF_REFUSED };
enum diff_reason {
	REFUSED_FIFO = 1, REFUSED_DEVICE, REFUSED_SOCKET, REFUSED_SET_ID, REFUSED_UNREADABLE, REFUSED_NAME_TOO_LONG, REFUSED_TOO_DEEP,
	REFUSED_OVER_BYTES, REFUSED_OVER_FILES,
};
/* CONFLICT: the old side changed after the new side had taken it up. MOVED: it came here with a renamed directory.
 * UNHASHED: too much to read; size, time and inode must do. */
enum diff_flag { DIFF_CONFLICT = 1, DIFF_MOVED = 2, DIFF_UNHASHED = 4 };
enum entry_kind { ENTRY_ABSENT, ENTRY_FILE, ENTRY_DIRECTORY, ENTRY_LINK, ENTRY_OTHER };
enum { DIFF_TRUNCATED = 1 };
enum { DIFF_DEPTH_MAX = 64, DIFF_PATH_SIZE = 4096, DIFF_LINK_SIZE = 4096 };
#define DIFF_MAGIC "cohort-diff 1\n"

/* What one side has under a name. */
struct entry {
	enum entry_kind kind;
	uint32_t type;          /* S_IFMT bits */
	uint32_t mode;          /* 07777 */
	uint32_t links;
	uint64_t size, inode;
	int64_t modified_ns, changed_ns;
	int64_t born_ns;        /* INT64_MAX when the file system does not say */
	bool is_whiteout;
};

/* One directory, on the sides that have it (-1: not there). */
struct sides {
	int new_fd, upper_fd, old_fd;
	bool is_merge;          /* known: what of new_fd is not in upper_fd is old_fd's own */
	int64_t since_ns;       /* when the new side took this directory up, at the latest */
	unsigned int depth;
	const char *prefix;     /* "" or "a/b/" */
};

struct diff {
	struct archive_writer out;
	uint64_t bytes_left, files_left, hash_bytes_left;
	uint32_t entries;
	bool full;              /* files_left was not enough: nothing more is written */
	bool truncated;         /* something was left out: the archive is no whole answer */
	bool has_upper;         /* false: no overlay, so that everything is compared */
	bool keeps_missing;     /* what only the old side has is no difference */
};

/* Writes the whole archive. False when it broke: then it has no end record. */
bool diff_trees(struct diff *diff, const struct sides *root);

/* diff-entry.c */
void entry_look(int dir_fd, const char *name, struct entry *entry);
bool entry_is_same_inode(const struct entry *a, const struct entry *b);
/* One record: the kind, the path, and what the old side has there. False when the archive is full: nothing was written. */
bool diff_put(struct diff *diff, enum diff_record kind, const char *path, uint32_t flags, int old_fd, const char *name, const struct entry *old);
void diff_refuse(struct diff *diff, const char *path, enum diff_reason reason, int old_fd, const char *name, const struct entry *old);
/* The records for a name that is a regular file, or a link, on the new side. */
void diff_file(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *now, const struct entry *old,
	       uint32_t flags);
void diff_link(struct diff *diff, const struct sides *sides, const char *name, const char *path, const struct entry *old, uint32_t flags);

/* diff-exec.c: in the sandbox. argv: target, most bytes, most files. Returns the exit status. */
int diff_archive(const char *home, int fd, char *argv[]);

#endif
