/** Pure: which paths of this machine a command named, in its arguments and in what it said when they were not there. */

export interface NamedPath {
  readonly path: string;
  readonly access: "read" | "write";
}

const PATHS_MAX = 2000;
const LINE_CHARS_MAX = 4096;
/** A path as messages and arguments write it: quoted, behind a colon or an equals sign, or alone. */
const PATH = /(?:^|[\s'"`‘’([=:,])(\/[^\s'"`‘’()[\]:,;<>|*?\0]+)/gu;
const MISSING =
  /no such file|not found|cannot (?:open|access|find|stat|read)|does not exist|doesn't exist|ENOENT|FileNotFound|can't open/iu;
const READ_ONLY = /read-only file system|EROFS|permission denied|EACCES/iu;

function pathsOf(text: string): readonly string[] {
  return [...text.matchAll(PATH)].map(([, path = ""]) => path.replace(/[.]+$/u, "")).filter((path) => path.length > 1);
}

function* named(command: readonly string[], output: string): Generator<NamedPath> {
  for (const argument of command) for (const path of pathsOf(argument)) yield { path, access: "read" };
  for (const line of output.split("\n")) {
    const text = line.slice(0, LINE_CHARS_MAX);
    const access = READ_ONLY.test(text) ? "write" : MISSING.test(text) ? "read" : null;
    if (access !== null) for (const path of pathsOf(text)) yield { path, access };
  }
}

/** Each once; a path that was to be written counts as written. */
export function namedPaths(command: readonly string[], output: string): readonly NamedPath[] {
  const found = new Map<string, NamedPath>();
  for (const one of named(command, output)) {
    if (found.size >= PATHS_MAX && !found.has(one.path)) break;
    if (found.get(one.path)?.access !== "write") found.set(one.path, one);
  }
  return [...found.values()];
}
