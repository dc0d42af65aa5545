/** Writes a whole journal into one new file, which can be put in the place of journal.sqlite. */
import { closeSync, fsyncSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CohortError } from "../kernel/error.ts";

/** Outside of a transaction, with nothing in the tail. Answers the size. The tail of the journal it came from, wherever it lies, is void for it. */
export function writeBackup(database: DatabaseSync, path: string): number {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause)) throw cause;
    const why = cause.code === "EEXIST" ? "it exists" : cause.message;
    throw new CohortError("REQUEST_INVALID", {
      on: `${path}: ${why}`,
      hint: "name a new file in a directory that cohortd may write to",
      cause,
    });
  }
  try {
    database.prepare("VACUUM INTO ?").run(path);
    const backup = new DatabaseSync(path);
    try {
      backup.exec("PRAGMA auto_vacuum = INCREMENTAL; UPDATE tail SET generation = random() & 4503599627370495");
    } finally {
      backup.close();
    }
    for (const place of [path, dirname(path)]) syncPath(place);
    return statSync(path).size;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

function syncPath(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
