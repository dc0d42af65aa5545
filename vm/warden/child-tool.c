/* cohort-child, which each sandbox finds at /run/cohort/bin: compiled before the warden from vm/child-tool and carried within it, so that no
 * file beside the warden can be put in its place, and the warden's own hash covers it. */
#include "sandbox.h"

#include <fcntl.h>
#include <sys/stat.h>

#ifdef COHORT_CHILD_FILE

/* A path relative to where the compiler runs. */
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"child_tool_start:\n"
	".incbin \"" COHORT_CHILD_FILE "\"\n"
	"child_tool_end:\n"
	".popsection\n");
extern const uint8_t child_tool_start[], child_tool_end[];

static size_t child_tool_size(void)
{
	return (size_t)(child_tool_end - child_tool_start);
}

#else

/* Parts of the warden that are compiled alone, for a test, carry none. */
static const uint8_t child_tool_start[1];

static size_t child_tool_size(void)
{
	return 0;
}

#endif

static int make_directory(int dir_fd, const char *name)
{
	if (mkdirat(dir_fd, name, 0755) != 0)
		die_errno("cannot make %s in the sandboxes' root", name);
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		die_errno("cannot open %s in the sandboxes' root", name);
	return fd;
}

void child_tool_place(int root_fd)
{
	CLEANUP_FD int run = openat(root_fd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		die_errno("cannot open the sandboxes' /run");
	CLEANUP_FD int own = make_directory(run, "cohort");
	CLEANUP_FD int bin = make_directory(own, "bin");
	if (child_tool_size() == 0)
		return;
	CLEANUP_FD int file = openat(bin, "cohort-child", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
	if (file < 0)
		die_errno("cannot make cohort-child in the sandboxes' root");
	for (size_t written = 0; written < child_tool_size();) {
		ssize_t count = write(file, child_tool_start + written, child_tool_size() - written);
		if (count <= 0)
			die_errno("cannot write cohort-child in the sandboxes' root");
		written += (size_t)count;
	}
	if (fchmod(file, 0555) != 0)
		die_errno("cannot make cohort-child executable");
}
