/* Runs the operations of a plan. Each can be run again after it was cut off anywhere: where things stand tells what was done. What is
 * replaced or deleted is moved into the staging directory first and looked at there: if it is not what was checked, it goes back. */
#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SYNCED_SINGLY_MAX = 32 };

struct run {
	const struct target *target;
	bool again;
};

struct outcome {
	enum status status;
	enum reason reason;
};

static const struct outcome done = { STATUS_APPLIED, REASON_NONE };
static const struct outcome changed = { STATUS_CONFLICT, REASON_CHANGED };
static const struct outcome failed = { STATUS_FAILED, REASON_NONE };

/* Not renameat2(3): a file system that knows no flags is told apart by EINVAL, not by the library. */
static int rename_with(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

/* A new name; never over something. */
static int move_new(int from_fd, const char *from, int to_fd, const char *to)
{
	if (rename_with(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	return linkat(from_fd, from, to_fd, to, 0) == 0 ? unlinkat(from_fd, from, 0) : -1;
}

/* In a directory that passes its group on, what was staged outside of it must have it too. */
static void pass_group_on(int parent_fd, const char *name)
{
	struct stat parent, status;
	if (fstat(parent_fd, &parent) != 0 || (parent.st_mode & S_ISGID) == 0)
		return;
	if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_gid == parent.st_gid)
		return;
	/* A set-group-id directory of a group that the person left: the file keeps the person's group. */
	if (fchownat(parent_fd, name, (uid_t)-1, parent.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
		return;
}

static struct outcome put_over(const struct run *run, const struct operation *operation, const char *number, int parent_fd, const char *name)
{
	struct identity staged, there;
	int staging_fd = run->target->staging_fd;
	identity_look(staging_fd, number, &staged);
	if (staged.inode == operation->staged_inode) {
		identity_look(parent_fd, name, &there);
		if (!identity_is_same(&there, &operation->before))
			return changed;
		if (rename_with(staging_fd, number, parent_fd, name, RENAME_EXCHANGE) != 0) {
			if (errno != EINVAL)
				return failed;
			/* No exchange here: the moment between look and rename stays. */
			return renameat(staging_fd, number, parent_fd, name) == 0 ? done : failed;
		}
		step();
		identity_look(staging_fd, number, &staged);
	}
	if (staged.kind == ENTRY_ABSENT || identity_is_same(&staged, &operation->before))
		return done;
	/* It changed at the last moment: back with it. */
	identity_look(parent_fd, name, &there);
	if (there.inode == operation->staged_inode)
		rename_with(staging_fd, number, parent_fd, name, RENAME_EXCHANGE);
	return changed;
}

static struct outcome put(const struct run *run, const struct operation *operation, int parent_fd, const char *name)
{
	char number[16];
	struct identity staged;
	int staging_fd = run->target->staging_fd;
	snprintf(number, sizeof(number), "%u", operation->number);
	if (operation->before.kind != ENTRY_ABSENT)
		return put_over(run, operation, number, parent_fd, name);
	identity_look(staging_fd, number, &staged);
	if (staged.kind == ENTRY_ABSENT)
		return run->again ? done : failed;
	if (move_new(staging_fd, number, parent_fd, name) != 0) {
		struct identity there;
		int error_number = errno;
		identity_look(parent_fd, name, &there);
		if (run->again && there.inode == operation->staged_inode && unlinkat(staging_fd, number, 0) == 0)
			return done; /* linked, and killed before the other name went */
		errno = error_number;
		return errno == EEXIST || errno == ENOENT || errno == ENOTDIR ? changed : failed;
	}
	pass_group_on(parent_fd, name);
	return done;
}

static struct outcome remove_file(const struct run *run, const struct operation *operation, int parent_fd, const char *name)
{
	char number[16];
	struct identity there, moved;
	int staging_fd = run->target->staging_fd;
	snprintf(number, sizeof(number), "%u", operation->number);
	identity_look(staging_fd, number, &moved);
	if (moved.kind == ENTRY_ABSENT) {
		identity_look(parent_fd, name, &there);
		if (there.kind == ENTRY_ABSENT)
			return done;
		if (!identity_is_same(&there, &operation->before))
			return changed;
		if (move_new(parent_fd, name, staging_fd, number) != 0)
			return failed;
		step();
		identity_look(staging_fd, number, &moved);
	}
	if (identity_is_same(&moved, &operation->before))
		return done;
	return move_new(staging_fd, number, parent_fd, name) == 0 ? changed : failed;
}

static struct outcome remove_directory(const struct run *run, int parent_fd, const char *name)
{
	/* No directory any more: the file that takes its place already did. */
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT || (run->again && errno == ENOTDIR))
		return done;
	return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? changed : failed;
}

/* Through the descriptor of what was looked at; the set-id bits that a directory has stay. */
static struct outcome set_mode(const struct operation *operation, int parent_fd, const char *name, bool check)
{
	char path[64];
	struct stat status;
	struct identity there;
	int fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? changed : failed;
	identity_look(parent_fd, name, &there);
	struct outcome outcome = failed;
	if (fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
		outcome = changed;
	else if (check && (status.st_ino != operation->before.inode || !identity_is_same(&there, &operation->before)))
		outcome = changed;
	else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		mode_t kept = S_ISDIR(status.st_mode) ? status.st_mode & 07000 : 0;
		outcome = chmod(path, operation->mode | kept) == 0 ? done : failed;
	}
	close(fd);
	return outcome;
}

static struct outcome make_directory(const struct run *run, const struct operation *operation, int parent_fd, const char *name)
{
	struct identity there;
	if (mkdirat(parent_fd, name, 0700) != 0) {
		identity_look(parent_fd, name, &there);
		if (errno != EEXIST || !run->again || there.kind != ENTRY_DIRECTORY)
			return errno == EEXIST || errno == ENOENT || errno == ENOTDIR ? changed : failed;
	}
	step();
	return set_mode(operation, parent_fd, name, false);
}

static struct outcome run_one(const struct run *run, const struct operation *operation)
{
	const char *name;
	struct outcome outcome = failed;
	int parent_fd = target_open_parent(run->target, operation->path, &name);
	if (parent_fd < 0) {
		bool removes = operation->kind == OPERATION_REMOVE || operation->kind == OPERATION_REMOVE_DIRECTORY;
		/* It went before, and then the directory that held it. */
		if (run->again && removes && (errno == ENOENT || errno == ENOTDIR))
			return done;
		return errno == EACCES ? failed : changed;
	}
	switch ((enum operation_kind)operation->kind) {
	case OPERATION_PUT:
		outcome = put(run, operation, parent_fd, name);
		break;
	case OPERATION_REMOVE:
		outcome = remove_file(run, operation, parent_fd, name);
		break;
	case OPERATION_REMOVE_DIRECTORY:
		outcome = remove_directory(run, parent_fd, name);
		break;
	case OPERATION_MAKE_DIRECTORY:
		outcome = make_directory(run, operation, parent_fd, name);
		break;
	case OPERATION_MODE:
		outcome = set_mode(operation, parent_fd, name, operation->before.kind == ENTRY_FILE);
		break;
	}
	close(parent_fd);
	return outcome;
}

void commit_run(const struct target *target, const struct plan *plan, struct archive *archive, bool again)
{
	struct run run = { .target = target, .again = again };
	for (size_t i = 0; i < plan->count; i++) {
		struct item *item = &archive->items[plan->operations[i].item];
		/* After a first operation that failed, the second of the same entry has nothing to stand on. */
		if (item->status == STATUS_CONFLICT || item->status == STATUS_FAILED)
			continue;
		struct outcome outcome = run_one(&run, &plan->operations[i]);
		item->status = outcome.status;
		item->reason = outcome.reason;
		step();
	}
}

void commit_sync(const struct target *target, const struct plan *plan)
{
	const char *name;
	if (plan->count > SYNCED_SINGLY_MAX) {
		if (syncfs(target->fd) != 0)
			fatal("cannot sync the target: %s", strerror(errno));
		return;
	}
	for (size_t i = 0; i < plan->count; i++) {
		int fd = target_open_parent(target, plan->operations[i].path, &name);
		if (fd < 0)
			continue; /* the directory is gone, and so is the need */
		if (fsync(fd) != 0)
			fatal("cannot sync the target: %s", strerror(errno));
		close(fd);
	}
}
