/* Names whose files are read as instructions by programs of the person: shells, version control, editors, agents. The same list
 * stands in runtime/kernel/protected-names.ts; a test compares them. Compared without regard to the case of ASCII letters. */
#ifndef COHORT_PROTECTED_NAMES_H
#define COHORT_PROTECTED_NAMES_H

#define PROTECTED_NAMES \
	".git", ".claude", ".vscode", ".idea", ".mcp.json", ".bashrc", ".bash_profile", ".profile", ".zshrc", ".zprofile", ".ssh", \
	".gitconfig", ".npmrc", ".envrc", ".husky"

#endif
