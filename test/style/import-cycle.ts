/** Finds one cycle of imports, if there is any. Imports of types alone vanish at run time and are left out. */
import type { SourceFile } from "./source-file.ts";

export function findCycle(files: readonly SourceFile[]): readonly string[] | null {
  const edges = new Map(
    files.map((file) => [file.path, file.imports.flatMap(({ path, typeOnly }) => (path === null || typeOnly ? [] : [path]))]),
  );
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): readonly string[] | null => {
    const at = trail.indexOf(path);
    if (at >= 0) return [...trail.slice(at), path];
    if (done.has(path)) return null;
    trail.push(path);
    for (const next of edges.get(path) ?? []) {
      const cycle = visit(next);
      if (cycle !== null) return cycle;
    }
    trail.pop();
    done.add(path);
    return null;
  };
  for (const path of edges.keys()) {
    const cycle = visit(path);
    if (cycle !== null) return cycle;
  }
  return null;
}
