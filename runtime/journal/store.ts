/**
 * Owns the SQLite file of a journal, inside the worker.
 * Does not own: the meaning of rows, threads, retries.
 * 1. One commit is one transaction, synchronous=FULL: when commit() returned, it survives power loss.
 * 2. The file is locked exclusively from the opening to the end of the process.
 * 3. A commit that throws has changed nothing.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { CohortError, isCohortError } from "../kernel/error.ts";
import { JOURNAL_CHECK_BYTES_MAX } from "../kernel/limits.ts";
import { ROW_WIDTHS, type BatchRows, type BatchTable, type Cell, type CommitAnswer, type LoadedState } from "./batch-rows.ts";
import { JOURNAL_APPLICATION_ID, JOURNAL_FORMAT, SCHEMA } from "./schema.ts";

const STATEMENTS: Readonly<Record<Exclude<BatchTable, "effects">, string>> = {
  events: "INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?)",
  actors: `INSERT INTO actor VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (ref) DO UPDATE SET version = excluded.version, hash = excluded.hash,
    status = excluded.status, inbox_high = excluded.inbox_high, snapshot = excluded.snapshot`,
  outbox: "INSERT INTO outbox VALUES (?,?,?,?)",
  outboxGone: "DELETE FROM outbox WHERE id = ?",
  timers: "INSERT INTO timer VALUES (?,?,?) ON CONFLICT (owner, name) DO UPDATE SET at_ms = excluded.at_ms",
  timersGone: "DELETE FROM timer WHERE owner = ? AND name = ?",
  effectStates: "UPDATE effect SET state = ?1, params = CASE WHEN ?1 = 'done' THEN 'null' ELSE params END WHERE id = ?2",
  projections: "INSERT INTO projection VALUES (?,?,?) ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value",
  projectionsGone: "DELETE FROM projection WHERE collection = ? AND key = ?",
  logs: "INSERT INTO log VALUES (?,?,?)",
  logHeads: "INSERT INTO log_head VALUES (?,?) ON CONFLICT (log) DO UPDATE SET cursor = excluded.cursor",
  counters: "INSERT INTO counter VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  scopes: "INSERT INTO scope VALUES (?,?,?,?) ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, reason = excluded.reason",
  scopesGone: "DELETE FROM scope WHERE name = ?",
};

/** Gives SQLite's codes the names of our table; what it does not know stays INTERNAL. */
export function journalError(error: unknown): CohortError {
  if (isCohortError(error)) return error;
  const details = { on: error instanceof Error ? error.message : String(error), cause: error };
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

function openDatabase(directory: string): DatabaseSync {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const file = join(directory, "journal.sqlite");
  createPrivate(file);
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // Exclusive before WAL: the lock is held for good, and the index of the log lives in memory, where a full disk cannot SIGBUS.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA cache_size = -65536");
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
  if (format !== JOURNAL_FORMAT)
    throw new CohortError("JOURNAL_VERSION", { on: `format ${String(format)}, this build reads ${JOURNAL_FORMAT}` });
  if (bytes > JOURNAL_CHECK_BYTES_MAX) return;
  const verdict = pragma(database, "quick_check(1)");
  if (verdict !== "ok") throw new CohortError("JOURNAL_CORRUPT", { on: String(verdict) });
}

export class JournalStore {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(directory: string) {
    try {
      this.#database = openDatabase(directory);
    } catch (error) {
      throw journalError(error);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #rows(sql: string, ...cells: Cell[]): unknown[] {
    return this.#statement(sql).all(...cells);
  }

  load(): LoadedState {
    const loaded = {
      sequence: this.#statement("SELECT value FROM sequence").get()?.["value"],
      actors: this.#rows("SELECT ref, kind, version, hash, scope, parent, inbox_high, input, snapshot FROM actor WHERE status = 'active'"),
      ended: this.#rows("SELECT ref FROM actor WHERE status <> 'active'").map((row) => (row as { ref: string }).ref),
      outbox: this.#rows("SELECT id, sender, receiver, event FROM outbox ORDER BY id"),
      timers: this.#rows("SELECT owner, name, at_ms FROM timer"),
      effects: this.#rows("SELECT id, owner, name, asked_key, params, farewell, state FROM effect WHERE state <> 'done' ORDER BY id"),
      scopes: this.#rows("SELECT name, parent, mode, reason FROM scope"),
      counters: this.#rows("SELECT name, value FROM counter"),
      logHeads: this.#rows("SELECT log, cursor FROM log_head"),
    };
    // STRICT tables with CHECKed writers: the shapes are those of schema.ts.
    return loaded as LoadedState;
  }

  commit(batch: BatchRows): CommitAnswer {
    const duplicates: number[] = [];
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      this.#statement("UPDATE sequence SET value = ?").run(batch.sequence);
      for (const table of Object.keys(ROW_WIDTHS) as BatchTable[]) {
        const cells = batch.tables[table];
        if (cells === undefined) continue;
        if (table === "effects") this.#insertEffects(cells, duplicates);
        else this.#runAll(this.#statement(STATEMENTS[table]), cells, ROW_WIDTHS[table]);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
    return { duplicates };
  }

  #runAll(statement: StatementSync, cells: readonly Cell[], width: number): void {
    for (let start = 0; start < cells.length; start += width) statement.run(...cells.slice(start, start + width));
  }

  #insertEffects(cells: readonly Cell[], duplicates: number[]): void {
    const planned = this.#statement("INSERT INTO effect VALUES (?1,?2,?3,?4,?4,?5,?6,'planned') ON CONFLICT (key) DO NOTHING");
    const refused = this.#statement("INSERT INTO effect VALUES (?1,?2,?3,NULL,?4,?5,?6,'duplicate')");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const row = cells.slice(start, start + ROW_WIDTHS.effects);
      if (Number(planned.run(...row).changes) > 0) continue;
      refused.run(...row);
      duplicates.push(Number(row[0]));
    }
  }

  get(collection: string, key: string): string | null {
    const row = this.#statement("SELECT value FROM projection WHERE collection = ? AND key = ?").get(collection, key);
    return row === undefined ? null : String(row["value"]);
  }

  list(collection: string, after: string, limit: number): unknown[] {
    return this.#rows("SELECT key, value FROM projection WHERE collection = ? AND key > ? ORDER BY key LIMIT ?", collection, after, limit);
  }

  readLog(log: string, after: number, limit: number): unknown[] {
    return this.#rows("SELECT cursor, value FROM log WHERE log = ? AND cursor > ? ORDER BY cursor LIMIT ?", log, after, limit);
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}
