/* A file system of the person's own, answered by this process: fuse-server DIRECTORY UID answer|hang.
 *
 * It holds one file, "file". With `hang` it never answers the opening of its root. Says "mounted" and serves until it is killed; whoever
 * started it unmounts. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char content[] = "from a process\n";
static unsigned int uid;
static int device;

static void answer(uint64_t unique, int error, const void *data, size_t size)
{
	struct fuse_out_header header = { .len = (uint32_t)(sizeof(header) + size), .error = -error, .unique = unique };
	struct iovec parts[] = { { &header, sizeof(header) }, { (void *)(uintptr_t)data, size } };
	if (writev(device, parts, size > 0 ? 2 : 1) < 0 && errno != ENOENT)
		perror("fuse-server");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .uid = uid, .gid = uid, .nlink = 1, .blksize = 4096 };
	attr.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
	attr.size = node == FUSE_ROOT_ID ? 0 : sizeof(content) - 1;
	return attr;
}

static void list(const struct fuse_in_header *request, const struct fuse_read_in *read_in)
{
	char entry[sizeof(struct fuse_dirent) + 8] = { 0 };
	struct fuse_dirent *first = (struct fuse_dirent *)(void *)entry;
	*first = (struct fuse_dirent){ .ino = 2, .off = 1, .namelen = 4, .type = S_IFREG >> 12 };
	memcpy(entry + FUSE_NAME_OFFSET, "file", 4);
	answer(request->unique, 0, entry, read_in->offset == 0 ? FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 4) : 0);
}

static void serve(const struct fuse_in_header *request, const void *body, int hangs)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 };
	struct fuse_entry_out entry = { .nodeid = 2, .attr = attributes(2) };
	struct fuse_attr_out attr = { .attr = attributes(request->nodeid) };
	struct fuse_open_out opened = { 0 };
	const struct fuse_read_in *read_in = body;
	switch (request->opcode) {
	case FUSE_INIT: answer(request->unique, 0, &init, sizeof(init)); break;
	case FUSE_GETATTR: answer(request->unique, 0, &attr, sizeof(attr)); break;
	case FUSE_LOOKUP: answer(request->unique, strcmp(body, "file") == 0 ? 0 : ENOENT, &entry, strcmp(body, "file") == 0 ? sizeof(entry) : 0); break;
	case FUSE_OPENDIR:
		if (hangs)
			break;
		answer(request->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_OPEN: answer(request->unique, 0, &opened, sizeof(opened)); break;
	case FUSE_READDIR: list(request, read_in); break;
	case FUSE_READ: answer(request->unique, 0, content, read_in->offset == 0 ? sizeof(content) - 1 : 0); break;
	case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FLUSH: answer(request->unique, 0, NULL, 0); break;
	case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: break;
	default: answer(request->unique, ENOSYS, NULL, 0);
	}
}

int main(int count, char **arguments)
{
	static char buffer[1 << 17] __attribute__((aligned(8)));
	char options[256];
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (count != 4 || device < 0)
		return 2;
	uid = (unsigned int)strtoul(arguments[2], NULL, 10);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", device, uid, uid);
	if (mount("fuse-server", arguments[1], "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
		perror("mount");
		return 1;
	}
	puts("mounted");
	fflush(stdout);
	for (;;) {
		ssize_t size = read(device, buffer, sizeof(buffer));
		if (size < 0 && errno == ENODEV)
			return 0;
		if (size >= (ssize_t)sizeof(struct fuse_in_header))
			serve((const struct fuse_in_header *)(const void *)buffer, buffer + sizeof(struct fuse_in_header), strcmp(arguments[3], "hang") == 0);
	}
}
