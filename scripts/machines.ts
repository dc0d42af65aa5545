/** `npm run machines`: writes docs/machines, a page with a picture for each statechart. A test compares them with the code. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cohortDefinitions } from "../machines/definitions.ts";
import { machinePage } from "./state-diagram.ts";

const root = dirname(import.meta.dirname);
export const MACHINES_DIRECTORY = join(root, "docs/machines");

/** By file name. */
export function machinePages(): ReadonlyMap<string, string> {
  return new Map(
    cohortDefinitions.map((definition) => {
      const source = readFileSync(join(root, `machines/${definition.kind}.ts`), "utf8");
      return [`${definition.kind}.md`, machinePage(definition, source)];
    }),
  );
}

// Also when it is imported by node24.mjs.
if (process.argv[1] === import.meta.filename) {
  mkdirSync(MACHINES_DIRECTORY, { recursive: true });
  for (const [name, page] of machinePages()) writeFileSync(join(MACHINES_DIRECTORY, name), page);
}
