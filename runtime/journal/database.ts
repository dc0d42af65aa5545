/** Opens the SQLite file of a journal: private, locked, of our format and whole; and gives its errors the names of our table. */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CohortError, isCohortError } from "../kernel/error.ts";
import { JOURNAL_CHECK_BYTES_MAX } from "../kernel/limits.ts";
import { isNoSpace } from "./no-space.ts";
import { JOURNAL_APPLICATION_ID, JOURNAL_FORMAT, SCHEMA, UPGRADES } from "./schema.ts";

/** Gives SQLite's codes the names of our table; what it does not know stays INTERNAL. */
export function journalError(error: unknown): CohortError {
  if (isCohortError(error)) return error;
  const details = { on: error instanceof Error ? error.message : String(error), cause: error };
  if (isNoSpace(error)) return new CohortError("JOURNAL_FULL", details);
  const code = error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : 0;
  // A write that a quota refused (SQLITE_IOERR_WRITE) has left nothing behind and may be tried again. A failed fsync may not: what it lost is unknown.
  if (code === 778) return new CohortError("JOURNAL_FULL", details);
  switch (code & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return new CohortError("JOURNAL_LOCKED", details);
    case 13: // SQLITE_FULL
      return new CohortError("JOURNAL_FULL", details);
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return new CohortError("JOURNAL_CORRUPT", details);
    default:
      return new CohortError("INTERNAL", details);
  }
}

/**
 * SQLite gives its log file the mode of the database, so that creating this one 0600 is enough.
 * A file that exists is never opened here: closing any descriptor of it would release this process's lock on it (POSIX), if it holds one.
 */
function createPrivate(file: string): void {
  if (existsSync(file)) chmodSync(file, 0o600);
  else closeSync(openSync(file, "ax", 0o600));
}

/** PRAGMA auto_vacuum. */
const INCREMENTAL = 2;

export function openDatabase(directory: string): DatabaseSync {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const file = join(directory, "journal.sqlite");
  createPrivate(file);
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // Exclusive before WAL: the lock is held for good, and the index of the log lives in memory, where a full disk cannot SIGBUS.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    // What is deleted is overwritten: in pages that stay and in those that become free.
    database.exec("PRAGMA secure_delete = ON");
    // Before the first table: free pages can be given back a few at a time.
    database.exec("PRAGMA auto_vacuum = INCREMENTAL");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA cache_size = -65536");
    // The open transaction stays in memory until a checkpoint.
    database.exec("PRAGMA cache_spill = OFF");
    database.exec("BEGIN IMMEDIATE; COMMIT");
    prepareFormat(database, statSync(file).size);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

function pragma(database: DatabaseSync, name: string): unknown {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return row === undefined ? undefined : Object.values(row)[0];
}

function upgradeSteps(from: number): readonly string[] {
  const steps: string[] = [];
  for (let format = from; format !== JOURNAL_FORMAT; format++) {
    const step = UPGRADES[format];
    if (step === undefined) throw new CohortError("JOURNAL_VERSION", { on: `format ${from}, this build reads ${JOURNAL_FORMAT}` });
    steps.push(step);
  }
  return steps;
}

function prepareFormat(database: DatabaseSync, bytes: number): void {
  const format = pragma(database, "user_version");
  const application = pragma(database, "application_id");
  const tables = database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"];
  if (format === 0 && application === 0 && tables === 0) {
    database.exec(
      `BEGIN IMMEDIATE; ${SCHEMA} PRAGMA application_id = ${JOURNAL_APPLICATION_ID}; PRAGMA user_version = ${JOURNAL_FORMAT}; COMMIT`,
    );
    return;
  }
  if (application !== JOURNAL_APPLICATION_ID) throw new CohortError("JOURNAL_CORRUPT", { on: "the file is not a journal of Cohort" });
  const steps = upgradeSteps(Number(format));
  const verdict = bytes > JOURNAL_CHECK_BYTES_MAX ? "ok" : pragma(database, "quick_check(1)");
  if (verdict !== "ok") throw new CohortError("JOURNAL_CORRUPT", { on: String(verdict) });
  if (steps.length === 0) return;
  database.exec(`BEGIN IMMEDIATE; ${steps.join("")} PRAGMA user_version = ${JOURNAL_FORMAT}; COMMIT`);
  takeUpVacuum(database);
}

/** A file of an older format is rewritten once, so that it can shrink from now on. */
function takeUpVacuum(database: DatabaseSync): void {
  if (pragma(database, "auto_vacuum") === INCREMENTAL) return;
  try {
    database.exec("PRAGMA auto_vacuum = INCREMENTAL; VACUUM");
  } catch (error) {
    // It needs as much space again; without it the file only keeps its size.
    if (journalError(error).code !== "JOURNAL_FULL") throw error;
  }
}
