/**
 * Names whose files are read as instructions by programs of the person: shells, version control, editors, agents. The warden's C has the same list
 * (vm/warden/protected-names.h; a test compares them). Compared without regard to the case of ASCII letters.
 */
export const PROTECTED_NAMES: readonly string[] = [
  ".git",
  ".claude",
  ".vscode",
  ".idea",
  ".mcp.json",
  ".bashrc",
  ".bash_profile",
  ".profile",
  ".zshrc",
  ".zprofile",
  ".ssh",
  ".gitconfig",
  ".npmrc",
  ".envrc",
  ".husky",
];
