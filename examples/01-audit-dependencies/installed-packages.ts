/** The packages of a node_modules tree as they are installed, and which of them each one can reach by Node's own rules. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Directory, relative to the directory that holds the outermost node_modules. */
  readonly path: string;
  /** Names that its package.json wants at run time; of the optional and peer ones, whatever is installed. */
  readonly wants: readonly string[];
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

function readPackage(root: string, path: string, name: string): InstalledPackage | null {
  const file = join(root, path, "package.json");
  if (!existsSync(file)) return null;
  const manifest = JSON.parse(readFileSync(file, "utf8")) as Manifest;
  const wants = [manifest.dependencies, manifest.optionalDependencies, manifest.peerDependencies].flatMap((list) =>
    Object.keys(list ?? {}),
  );
  return { name: manifest.name ?? name, version: manifest.version ?? "0.0.0", path, wants: [...new Set(wants)] };
}

function* packagesIn(root: string, modules: string): Generator<InstalledPackage> {
  if (!existsSync(join(root, modules))) return;
  const names = readdirSync(join(root, modules), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .flatMap((entry) =>
      entry.name.startsWith("@") ? readdirSync(join(root, modules, entry.name)).map((part) => `${entry.name}/${part}`) : [entry.name],
    );
  for (const name of names) {
    const path = join(modules, name);
    const found = readPackage(root, path, name);
    if (found !== null) yield found;
    yield* packagesIn(root, join(path, "node_modules"));
  }
}

/** All packages below `root`/node_modules, nested ones included, by path. */
export function installedPackages(root: string): ReadonlyMap<string, InstalledPackage> {
  return new Map([...packagesIn(root, "node_modules")].map((found) => [found.path, found]));
}

/** Where Node would find `name` from a file in `from`: the nearest node_modules, upwards. */
function resolveFrom(all: ReadonlyMap<string, InstalledPackage>, from: string, name: string): InstalledPackage | null {
  for (let directory = from; ; directory = dirname(directory)) {
    const found = all.get(join(directory, "node_modules", name));
    if (found !== undefined) return found;
    if (directory === ".") return null;
  }
}

/** The package itself and everything that it reaches. What is wanted but not installed is left out: Node would not find it either. */
export function closureOf(all: ReadonlyMap<string, InstalledPackage>, start: InstalledPackage): readonly InstalledPackage[] {
  const reached = new Map([[start.path, start]]);
  for (const current of reached.values()) {
    for (const name of current.wants) {
      const found = resolveFrom(all, current.path, name);
      if (found !== null) reached.set(found.path, found);
    }
  }
  return [...reached.values()];
}
