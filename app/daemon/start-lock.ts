/**
 * A lock that its holder's death releases, whatever the death: SQLite's lock on a file (fcntl), which Node cannot take by itself.
 * Waiting blocks the thread: only the short-lived start steps use it.
 */
import { DatabaseSync } from "node:sqlite";
import { CohortError } from "../../runtime/kernel/error.ts";

export interface StartLock {
  release(): void;
}

/** Throws DEADLINE when somebody else holds it all the time. */
export function takeStartLock(path: string, timeoutMs: number): StartLock {
  const database = new DatabaseSync(path, { timeout: timeoutMs });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new CohortError("DEADLINE", { on: `another start holds ${path} for more than ${timeoutMs} ms`, cause });
  }
  return {
    release: () => {
      database.exec("ROLLBACK");
      database.close();
    },
  };
}
