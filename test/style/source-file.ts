/** What the tidy test knows of one file of the repository: its text and what it imports. */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

export const root = join(import.meta.dirname, "../..");
const SKIPPED = new Set(["node_modules", "dist", "build", ".git", ".cache"]);
const READ = /\.(ts|mjs|c|h|md|json|sh|txt|yaml|yml)$|(^|\/)(Makefile|run|cohort)$/;

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** A path of the repository, or null for a package. */
  readonly path: string | null;
  readonly typeOnly: boolean;
}

export interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly lines: number;
  readonly imports: readonly Import[];
}

function* walk(directory: string): Generator<string> {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() && READ.test(path)) yield path;
  }
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[^"'`;]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /\bimport\(\s*"([^"]+)"\s*\)/g;

function importsOf(path: string, text: string): Import[] {
  const resolved = (specifier: string): string | null => (specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : null);
  const statements = [...text.matchAll(STATEMENT)].map(([, type, specifier = ""]) => ({
    specifier,
    path: resolved(specifier),
    typeOnly: type !== undefined,
  }));
  const dynamic = [...text.matchAll(DYNAMIC)].map(([, specifier = ""]) => ({ specifier, path: resolved(specifier), typeOnly: false }));
  return [...statements, ...dynamic];
}

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), "utf8");
  return {
    path,
    folder: path.split("/")[0] ?? "",
    text,
    lines: text.split("\n").length - 1,
    imports: /\.(ts|mjs)$/.test(path) ? importsOf(path, text) : [],
  };
}

export function readRepository(): readonly SourceFile[] {
  return [...walk("")].map(read);
}
