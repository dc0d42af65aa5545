/** Owns a copy of what is simulated, in a temporary directory, in which bugs are planted one after the other. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PlantedBug } from "./planted-bugs.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const FOLDERS = ["runtime", "machines", "actors", "vm", "test/simulation"];

export class TreeCopy {
  readonly root = mkdtempSync(join(tmpdir(), "cohort-bugs-"));

  /** `more`: folders besides those that a simulation needs. */
  constructor(more: readonly string[] = []) {
    for (const folder of [...FOLDERS, ...more]) {
      cpSync(join(ROOT, folder), join(this.root, folder), { recursive: true, filter: (path) => !path.endsWith("vm/warden") });
    }
    cpSync(join(ROOT, "package.json"), join(this.root, "package.json"));
    symlinkSync(join(ROOT, "node_modules"), join(this.root, "node_modules"));
  }

  /** Answers what takes it out again. Throws where the code is not what the bug was planted in. */
  plant({ name, file, edits }: PlantedBug): () => void {
    const path = join(this.root, file);
    const text = readFileSync(path, "utf8");
    let planted = text;
    for (const { find, put } of edits) {
      const times = planted.split(find).length - 1;
      if (times !== 1) {
        throw new Error(
          `"${name}" cannot be planted: ${file} has ${times} times the text\n${find}\nPlant it where that rule is kept now (test/simulation/bugs/planted-bugs.ts), or drop it with the rule.`,
        );
      }
      planted = planted.replace(find, () => put);
    }
    writeFileSync(path, planted);
    return () => writeFileSync(path, text);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
