/* Takes a grant back, with proof. Runs in a process of its own, forked from the zygote, in the mount namespace of the sandbox: it may
 * take its time, and nobody waits for it but whoever asked.
 *
 * A mount that could be made read-only and then unmounted without force has nobody who holds anything of it: no descriptor (nor one in
 * flight between sockets), no directory, no mapping. Until both succeed in a row, holders are looked for (after the first round with the sandbox frozen) and
 * killed. A lazy unmount would leave every holder what it has, and is never done here. What is found nowhere (a descriptor in
 * flight) leaves one answer: no proof, and the zygote kills the sandbox. */
#include "grants.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "attach.h"
#include "lifecycle.h"

enum {
	ROUNDS_MAX = 16, TRY_US = 200, FREEZE_MS_MAX = 250, FIRST_MS_MAX = 20, DEATH_MS_MAX = 200, QUIET_MS_MAX = 100, PARTS_MAX = GRANT_PARTS + 1 + 64,
	POINT_SIZE = 4096, MOUNTINFO_SIZE = 1 << 20,
};

/* One mount to unmount. Deeper ones stand before those that they stand on. */
struct part {
	uint64_t id;
	char point[POINT_SIZE];   /* absolute, in the sandbox */
	bool gone;
};

struct revocation {
	const struct jail *jail;
	const struct grant *grant;
	struct part *parts;
	size_t part_count;
	uint32_t killed;
	bool frozen;
};

static void pause_us(long microseconds)
{
	nanosleep(&(struct timespec){ .tv_nsec = microseconds * 1000 }, NULL);
}

static int add_part(struct revocation *revocation, uint64_t id, const char *point)
{
	if (revocation->part_count == PARTS_MAX || strlen(point) >= POINT_SIZE)
		return -1;
	struct part *part = &revocation->parts[revocation->part_count++];
	part->id = id;
	part->gone = false;
	format_text(part->point, sizeof(part->point), "%s", point);
	return 0;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from != '\0'; from++, to++) {
		bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
		*to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
		from += escaped ? 3 : 0;
	}
	*to = '\0';
}

/* Mounts that stand on this one: the protected names of a writable grant. They have none on them in turn. */
static int add_covers(struct revocation *revocation, const char *mountinfo, uint64_t parent_id)
{
	for (const char *line = mountinfo; *line != '\0'; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
		static char point[POINT_SIZE];
		uint64_t id, parent;
		if (sscanf(line, "%" SCNu64 " %" SCNu64 " %*s %*s %4095s", &id, &parent, point) != 3 || parent != parent_id)
			continue;
		unescape(point);
		if (add_part(revocation, id, point) != 0)
			return -1;
	}
	return 0;
}

/* The overlay first: to unmount what it consists of would cut nothing. */
static int list_parts(struct revocation *revocation)
{
	static char mountinfo[MOUNTINFO_SIZE];
	const struct grant *grant = revocation->grant;
	const char *home = revocation->jail->plan.home;
	char point[POINT_SIZE], path[32];
	/* The view of the layer stands on the whole layer. */
	const uint64_t ids[] = { grant->mount_ids[0], grant->mount_ids[2], grant->layer_mount_id, grant->mount_ids[1] };
	format_text(path, sizeof(path), "%d/mountinfo", revocation->jail->pid);
	if (grant->mode == MOUNT_RW && (read_file(zygote.proc_fd, path, mountinfo, sizeof(mountinfo)) <= 0 || add_covers(revocation, mountinfo, grant->mount_ids[0]) != 0))
		return -1;
	for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
		format_text(point, sizeof(point), i == 0 ? "%s/mnt/%s" : i == 3 ? "%s/mnt/.staged/%s/lower" : "%s/mnt/.staged/%s/upper", home, grant->target);
		if (ids[i] != 0 && add_part(revocation, ids[i], point) != 0)
			return -1;
	}
	return 0;
}

/* The directory that the part's last component stands in, without a link on the way: the child may be its owner. */
static int open_parent(const struct part *part, const char **name)
{
	char path[POINT_SIZE];
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	format_text(path, sizeof(path), "%s", part->point);
	char *slash = strrchr(path, '/');
	if (slash == NULL || slash == path)
		return -1;
	*slash = '\0';
	*name = part->point + (slash - path) + 1;
	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

/* True: it is unmounted. Both calls must succeed in a row. */
static bool try_part(struct part *part)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	const char *name = NULL;
	uint64_t id = 0;
	if (part->gone)
		return true;
	CLEANUP_FD int parent = open_parent(part, &name);
	if (parent < 0 || fchdir(parent) != 0)
		return false;
	close_fd(&parent);
	/* What stands there instead is another's, and must not be touched; the names of a grant are only root's to change. */
	bool there = mount_id_of(AT_FDCWD, name, &id) == 0 && id == part->id;
	if (there && mount_setattr(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, &read_only, sizeof(read_only)) == 0)
		part->gone = umount2(name, UMOUNT_NOFOLLOW) == 0;
	if (chdir("/") != 0)
		die_errno("revoker: cannot leave a directory of %s", part->point);
	return part->gone;
}

static bool try_all(struct revocation *revocation)
{
	for (size_t i = 0; i < revocation->part_count; i++)
		if (!try_part(&revocation->parts[i]))
			return false;
	return true;
}

static bool try_until(struct revocation *revocation, uint64_t time_ms)
{
	uint64_t until_ms = boot_ms() + time_ms;
	while (!try_all(revocation)) {
		if (boot_ms() >= until_ms)
			return false;
		pause_us(TRY_US);
	}
	return true;
}

/* A process that runs could hand what it holds to one that was looked at already. One that does not stop is no obstacle: the proof is
 * the unmount. */
static void freeze(struct revocation *revocation)
{
	const char *cgroup = revocation->jail->plan.cgroup;
	uint64_t until_ms = boot_ms() + FREEZE_MS_MAX;
	if (cgroup_freeze(zygote.cgroups, cgroup, true) != 0)
		return;
	while (!cgroup_is_frozen(zygote.cgroups, cgroup) && boot_ms() < until_ms)
		pause_us(TRY_US);
}

static bool take_back(struct revocation *revocation, struct fault *fault)
{
	uint64_t mount_ids[PARTS_MAX];
	if (list_parts(revocation) != 0)
		return fail(fault, E_INTERNAL, errno, "cannot list its mounts") == 0;
	if (try_all(revocation))
		return true;
	CLEANUP_FD int cgroup_fd = cgroup_open(zygote.cgroups, revocation->jail->plan.cgroup);
	for (size_t i = 0; i < revocation->part_count; i++)
		mount_ids[i] = revocation->parts[i].id;
	const struct holder_search search = {
		.proc_fd = zygote.proc_fd, .cgroup_fd = cgroup_fd, .init_pid = revocation->jail->pid, .mount_ids = mount_ids, .mount_count = revocation->part_count,
	};
	for (int round = 0; round < ROUNDS_MAX; round++) {
		/* Most let go at the first round, and to stop every task only to wake it for its end would take twice as long. */
		if (round == 1)
			freeze(revocation);
		int found = holders_kill(&search, &revocation->killed);
		if (found < 0)
			return fail(fault, E_INTERNAL, errno, "cannot look for who holds it") == 0;
		/* A descriptor that was just closed is let go of a moment later. */
		if (try_until(revocation, round == 0 ? FIRST_MS_MAX : found > 0 ? DEATH_MS_MAX : QUIET_MS_MAX))
			return true;
		if (found == 0 && round > 0)
			return fail(fault, E_INTERNAL, EBUSY, "something of it is held where no process shows it") == 0;
	}
	return fail(fault, E_INTERNAL, EBUSY, "it is held by one process after another") == 0;
}

static void remove_points(const struct revocation *revocation)
{
	struct fault fault;
	const char *target = revocation->grant->target;
	CLEANUP_FD int points = sealed_points_open(revocation->jail->plan.home, &fault);
	CLEANUP_FD int writable = points < 0 ? -1 : sealed_points_writable(points, &fault);
	if (writable < 0)
		return;
	if (revocation->grant->mode == MOUNT_STAGED)
		staged_points_remove(writable, target);
	if (unlinkat(writable, target, AT_REMOVEDIR) != 0)
		unlinkat(writable, target, 0);
}

void revoker_main(const struct jail *jail, const struct grant *grant, int pid_fd, int report_fd)
{
	static struct part parts[PARTS_MAX];
	struct revocation revocation = { .jail = jail, .grant = grant, .parts = parts };
	struct revoker_report report = { 0 };
	const int kept[] = {
		report_fd, pid_fd, zygote.proc_fd, zygote.own_pid_fd, zygote.cgroups->v2_fd, zygote.cgroups->v1_fd[0], zygote.cgroups->v1_fd[1],
		zygote.cgroups->v1_fd[2],
	};
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || close_all_but(kept, ARRAY_LENGTH(kept)) != 0)
		_exit(EXIT_FAILURE);
	if (setns(pid_fd, CLONE_NEWNS) != 0) {
		fail(&report.fault, E_SANDBOX_DEAD, errno, "cannot enter its mounts");
	} else {
		report.proven = take_back(&revocation, &report.fault);
		if (report.proven != 0)
			remove_points(&revocation);
	}
	report.processes_killed = revocation.killed;
	_exit(send_packet(report_fd, &report, sizeof(report), NULL, 0) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
