/* Finds the cgroup hierarchies of this machine, makes this instance's directory
 * in each, and removes a whole instance. Runs as root in the host mount namespace. */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *const controller_names[CONTROLLER_COUNT] = { "memory", "pids", "cpu" };

enum { LINE_SIZE = 4096, HIERARCHY_PATH_SIZE = 480 };

/* Is `word` one of the comma-separated words of the list? */
static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);
	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		if (*at == ',')
			at++;
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0' || at[length] == '\n'))
			return true;
	}
	return false;
}

/* One line of mountinfo: `36 35 0:31 ROOT POINT opts … - TYPE SOURCE SUPER-OPTIONS`. */
struct mount_line {
	char root[HIERARCHY_PATH_SIZE], point[HIERARCHY_PATH_SIZE];
	char type[64], options[512];
};

static bool parse_mount_line(const char *line, struct mount_line *mount)
{
	const char *separator = strstr(line, " - ");
	return separator != NULL && sscanf(line, "%*s %*s %*s %479s %479s", mount->root, mount->point) == 2 &&
	       sscanf(separator + 3, "%63s %*s %511s", mount->type, mount->options) == 2;
}

/* The mount of a v1 controller, or of v2 when controller is NULL. */
static bool find_hierarchy(const char *controller, struct mount_line *found)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[LINE_SIZE];
	bool hit = false;
	if (file == NULL)
		return false;
	while (!hit && fgets(line, sizeof(line), file) != NULL) {
		if (!parse_mount_line(line, found))
			continue;
		hit = controller == NULL ? strcmp(found->type, "cgroup2") == 0
					 : strcmp(found->type, "cgroup") == 0 && list_has(found->options, controller);
	}
	fclose(file);
	return hit;
}

/* Where this process stands in a v1 hierarchy: nesting below it keeps the limits that the host placed on us. */
static bool own_v1_path(const char *controller, char path[HIERARCHY_PATH_SIZE])
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[LINE_SIZE];
	bool hit = false;
	if (file == NULL)
		return false;
	while (!hit && fgets(line, sizeof(line), file) != NULL) {
		char controllers[512];
		if (sscanf(line, "%*[0-9]:%511[^:]:%479[^\n]", controllers, path) == 2)
			hit = list_has(controllers, controller);
	}
	fclose(file);
	return hit;
}

static int make_instance_dir(const char *parent, const char *instance, char path[512], struct fault *fault)
{
	format_text(path, 512, "%s/%s", parent, instance);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot make the cgroup %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "cannot open the cgroup %s", path);
	return fd;
}

static int open_v1(struct cgroup_set *set, enum controller controller, struct fault *fault)
{
	struct mount_line mount;
	char own[HIERARCHY_PATH_SIZE], parent[HIERARCHY_PATH_SIZE];
	const char *name = controller_names[controller];
	if (!find_hierarchy(name, &mount) || !own_v1_path(name, own))
		return fail(fault, E_CGROUP_UNAVAILABLE, 0,
			    "the cgroup controller %s is on neither v2 nor v1; mount cgroup v2 with it, or its v1 hierarchy", name);
	/* In a container the mount may show a subtree: its root is a prefix of our own path. */
	size_t root_length = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
	bool below = strncmp(own, mount.root, root_length) == 0;
	const char *rest = below ? own + root_length : "";
	if (strlen(mount.point) + strlen(rest) >= sizeof(parent))
		return fail(fault, E_CGROUP_UNAVAILABLE, ENAMETOOLONG, "the cgroup path of %s is too long", name);
	format_text(parent, sizeof(parent), "%s%s", mount.point, strcmp(rest, "/") == 0 ? "" : rest);
	int fd = make_instance_dir(parent, set->instance, set->paths[1 + controller], fault);
	if (fd < 0)
		return -1;
	set->v1_fd[controller] = fd;
	return 0;
}

/* A controller counts as v2's when the hierarchy's root offers it, and we can pass it down two levels. */
static bool enable_on_v2(const char *point, int instance_fd, const char *name)
{
	char controllers[512], request[32];
	CLEANUP_FD int root_fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0 || read_file(root_fd, "cgroup.controllers", controllers, sizeof(controllers)) < 0)
		return false;
	for (char *at = controllers; *at != '\0'; at++)
		if (*at == ' ')
			*at = ',';
	format_text(request, sizeof(request), "+%s", name);
	return list_has(controllers, name) && write_file(root_fd, "cgroup.subtree_control", request) == 0 &&
	       write_file(instance_fd, "cgroup.subtree_control", request) == 0;
}

int cgroup_set_open(struct cgroup_set *set, const char *instance, struct fault *fault)
{
	struct mount_line v2;
	*set = (struct cgroup_set){ .v2_fd = -1 };
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		set->v1_fd[i] = -1;
	format_text(set->instance, sizeof(set->instance), "cohort.%s", instance);
	if (!find_hierarchy(NULL, &v2))
		return fail(fault, E_CGROUP_UNAVAILABLE, 0,
			    "no cgroup v2 hierarchy is mounted (it kills and freezes); mount it: mount -t cgroup2 none /sys/fs/cgroup/unified");
	set->v2_fd = make_instance_dir(v2.point, set->instance, set->paths[0], fault);
	if (set->v2_fd < 0)
		return -1;
	if (faccessat(set->v2_fd, "cgroup.kill", W_OK, 0) != 0)
		return fail(fault, E_CGROUP_UNAVAILABLE, errno, "this kernel has no cgroup.kill; Linux 5.14 or later is needed");
	for (size_t i = 0; i < CONTROLLER_COUNT; i++)
		if (!enable_on_v2(v2.point, set->v2_fd, controller_names[i]) && open_v1(set, (enum controller)i, fault) != 0)
			return -1;
	return 0;
}

/* Removes the directories below one instance directory, then itself. Sandboxes make no deeper level: cgroupfs is not mounted in them. */
static bool remove_tree(const char *path)
{
	DIR *directory = opendir(path);
	if (directory == NULL)
		return errno == ENOENT;
	for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
		char still[NAME_MAX + sizeof("/" CGROUP_STILL)];
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		format_text(still, sizeof(still), "%s/" CGROUP_STILL, entry->d_name);
		/* What is still busy is tried again by the caller, who sees the parent remain. */
		(void)unlinkat(dirfd(directory), still, AT_REMOVEDIR);
		(void)unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
	}
	closedir(directory);
	return rmdir(path) == 0 || errno == ENOENT;
}

bool cgroup_set_remove(const char paths[1 + CONTROLLER_COUNT][512], uint64_t timeout_ms)
{
	uint64_t deadline_ms = boot_ms() + timeout_ms;
	for (;;) {
		char kill_path[544];
		bool clean = true;
		format_text(kill_path, sizeof(kill_path), "%s/cgroup.kill", paths[0]);
		if (write_file(AT_FDCWD, kill_path, "1") != 0 && errno != ENOENT && errno != ENODEV)
			complain("cannot write %s: %s", kill_path, strerror(errno));
		for (size_t i = 0; i < 1 + CONTROLLER_COUNT; i++)
			if (paths[i][0] != '\0')
				clean = remove_tree(paths[i]) && clean;
		if (clean || boot_ms() >= deadline_ms)
			return clean;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}
