/* The walk of a diff without a sandbox around it: diff-driver MERGED UPPER LOWER BYTES FILES, archive on stdout. */
#include "../../vm/warden/diff.h"

#include <fcntl.h>
#include <stdlib.h>

int main(int argc, char *argv[])
{
	static struct diff diff;
	struct entry upper;
	struct sides root = { .is_merge = true, .prefix = "" };
	if (argc != 6)
		return EXIT_FAILURE;
	root.new_fd = open(argv[1], O_RDONLY | O_DIRECTORY);
	root.upper_fd = open(argv[2], O_RDONLY | O_DIRECTORY);
	root.old_fd = open(argv[3], O_RDONLY | O_DIRECTORY);
	entry_look(root.upper_fd, ".", &upper);
	root.since_ns = upper.born_ns;
	diff.out.fd = 1;
	diff.bytes_left = strtoull(argv[4], NULL, 10);
	diff.files_left = strtoull(argv[5], NULL, 10);
	diff.hash_bytes_left = UINT64_MAX;
	diff.has_upper = true;
	return diff_trees(&diff, &root) ? EXIT_SUCCESS : EXIT_FAILURE;
}
