/* The warden's listening socket, for one person. Root works here by path, so
 * every directory on the way must be one that nobody but root can change: else
 * a link put in place between two calls would lead them elsewhere. */
#include "broker.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 16, OPEN_ATTEMPTS_MAX = 100 };

/* Directories in here are made by wardens and belong to one each. */
static const char own_parent[] = "/run/cohort/";

static void check_directory(int fd, const char *path, bool is_last)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		die_errno("cannot see %s", path);
	/* A sticky directory (/tmp) is well on the way: what root made in it, only root can replace. */
	bool safe = status.st_uid == 0 && ((status.st_mode & 022) == 0 || (!is_last && (status.st_mode & S_ISVTX) != 0));
	if (!safe)
		die("the directory %s of the socket's path can be changed by others than root; choose one like /run/cohort/UID", path);
}

/* Opens the directory step by step, and makes what is missing. Links are followed only where root made them, before: by realpath.
 * -1 when a warden that ended has removed it meanwhile. */
static int open_directory(const char *path)
{
	char walked[PATH_MAX] = "", component[NAME_MAX + 1];
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die_errno("cannot open /");
	check_directory(fd, "/", false);
	for (const char *at = path; *at != '\0';) {
		at += strspn(at, "/");
		size_t length = strcspn(at, "/");
		if (length == 0)
			break;
		if (length > NAME_MAX)
			die("a part of the socket's path is too long");
		memcpy(component, at, length);
		component[length] = '\0';
		at += length;
		if (!append_text(walked, sizeof(walked), "/%s", component))
			die("the socket's path is too long");
		if (mkdirat(fd, component, 0711) != 0 && errno != EEXIST)
			die_errno("cannot make the directory %s", walked);
		int next = openat(fd, component, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (next < 0 && errno == ENOENT) {
			close(fd);
			return -1;
		}
		if (next < 0)
			die_errno("cannot open the directory %s (a symbolic link in a socket's path is refused)", walked);
		close(fd);
		fd = next;
		check_directory(fd, walked, at[strspn(at, "/")] == '\0');
	}
	return fd;
}

static void bind_socket(struct listener *listener, const char *path, const struct person *person)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char hidden[sizeof(listener->name) + 8];
	format_text(hidden, sizeof(hidden), ".%s.new", listener->name);
	listener->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* By way of the checked directory's descriptor. */
	format_text(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", listener->directory_fd, hidden);
	if (listener->socket_fd < 0)
		die_errno("cannot make a socket");
	/* We hold the lock, so what is there is of a warden that ended. */
	if (unlinkat(listener->directory_fd, hidden, 0) != 0 && errno != ENOENT)
		die_errno("cannot replace the socket at %s", path);
	umask(0177);
	int bound = bind(listener->socket_fd, (struct sockaddr *)&address, sizeof(address));
	umask(022);
	/* Under its name only when it listens and is the person's: whoever waits for it never meets a socket that refuses. */
	if (bound != 0 || fchownat(listener->directory_fd, hidden, person->uid, person->gid, AT_SYMLINK_NOFOLLOW) != 0 ||
	    listen(listener->socket_fd, BACKLOG) != 0 || renameat(listener->directory_fd, hidden, listener->directory_fd, listener->name) != 0)
		die_errno("cannot listen on %s", path);
}

/* Whoever ends in order removes the lock's file while it holds it: a lock counts only as long as the file still has its name. */
static bool take_lock(struct listener *listener, const char *path, const char *lock_name)
{
	struct stat locked, named;
	listener->lock_fd = openat(listener->directory_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (listener->lock_fd < 0 && errno == ENOENT)
		return false;
	if (listener->lock_fd < 0)
		die_errno("cannot make the lock of %s", path);
	if (flock(listener->lock_fd, LOCK_EX | LOCK_NB) != 0)
		die("another warden serves %s; use that one, or end it first", path);
	if (fstat(listener->lock_fd, &locked) == 0 && fstatat(listener->directory_fd, lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    locked.st_dev == named.st_dev && locked.st_ino == named.st_ino)
		return true;
	close_fd(&listener->lock_fd);
	return false;
}

static void open_locked(struct listener *listener, const char *path)
{
	char lock_name[sizeof(listener->name) + 8];
	format_text(lock_name, sizeof(lock_name), "%s.lock", listener->name);
	/* /var/run is a link of the system on many machines; what root linked may be followed, once, here. */
	char *real = realpath(listener->directory, NULL);
	bool locked = false;
	for (int attempt = 0; attempt < OPEN_ATTEMPTS_MAX && !locked; attempt++) {
		listener->directory_fd = open_directory(real != NULL ? real : listener->directory);
		locked = listener->directory_fd >= 0 && take_lock(listener, path, lock_name);
		if (!locked)
			close_fd(&listener->directory_fd);
	}
	free(real);
	if (!locked)
		die("the lock of %s is removed again and again", path);
}

void listener_open(struct listener *listener, const char *path, const struct person *person)
{
	const char *slash = strrchr(path, '/');
	if (path[0] != '/' || slash[1] == '\0')
		die("--socket must be an absolute path");
	if (strlen(slash + 1) > 60)
		die("the name of the socket must be at most 60 bytes long");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		die("the path of a socket must be shorter than %zu bytes: %s", sizeof(((struct sockaddr_un *)0)->sun_path), path);
	format_text(listener->directory, sizeof(listener->directory), "%.*s", (int)(slash - path), path);
	format_text(listener->name, sizeof(listener->name), "%s", slash + 1);
	open_locked(listener, path);
	bind_socket(listener, path, person);
}

static void remove_name(const struct listener *listener, const char *suffix)
{
	char name[sizeof(listener->name) + 8];
	format_text(name, sizeof(name), "%s%s", listener->name, suffix);
	if (unlinkat(listener->directory_fd, name, 0) != 0 && errno != ENOENT)
		complain("cannot remove %s/%s: %s", listener->directory, name, strerror(errno));
}

void listener_close(struct listener *listener)
{
	char log_name[sizeof(listener->name) + 8];
	struct stat status;
	format_text(log_name, sizeof(log_name), "%s.log", listener->name);
	remove_name(listener, "");
	close_fd(&listener->socket_fd);
	/* A log that says something stays, for who wants to know. */
	if (fstatat(listener->directory_fd, log_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size == 0)
		remove_name(listener, ".log");
	/* Last, while it is held: from here on the place is another's. */
	remove_name(listener, ".lock");
	close_fd(&listener->lock_fd);
	size_t length = sizeof(own_parent) - 1;
	if (strncmp(listener->directory, own_parent, length) == 0 && strchr(listener->directory + length, '/') == NULL &&
	    rmdir(listener->directory) != 0 && errno != ENOTEMPTY && errno != ENOENT)
		complain("cannot remove %s: %s", listener->directory, strerror(errno));
	close_fd(&listener->directory_fd);
}
