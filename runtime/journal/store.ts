/**
 * Owns the SQLite file of a journal and its tail, inside the worker.
 * Does not own: the meaning of rows, threads, retries.
 * 1. When commit() returned, its batch survives power loss: in the tail at first, from the next checkpoint on in the database.
 * 2. Readers see every batch that was applied, in the database's open transaction; a checkpoint only makes that transaction durable.
 * 3. Files that batches wrote are durable by themselves before the tail that holds them is begun anew.
 * 4. The database is locked exclusively from the opening to the end of the process.
 * 5. A commit that throws has changed nothing that anything refers to.
 */
import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { deserialize } from "node:v8";
import type { CohortError } from "../kernel/error.ts";
import { stateHash } from "../kernel/state-hash.ts";
import { CHECKPOINT_RETRY_MS, TAIL_BYTES_FULL, TAIL_BYTES_MAX } from "../kernel/limits.ts";
import { ROW_WIDTHS, type BatchRows, type BatchTable, type Cell, type CommitAnswer, type LoadedState, type OutboxRow } from "./batch-rows.ts";
import { journalError, openDatabase } from "./database.ts";
import { readHistory } from "./history.ts";
import type { HistoryCursor, HistoryPage } from "../kernel/history.ts";
import { JournaledFiles, type BatchFiles } from "./journaled-files.ts";
import { loadState, readOutbox } from "./loaded-state.ts";
import { presentBatch } from "./old-batch.ts";
import { openTailFile, type TailFile } from "./tail-file.ts";
import { JournalTail } from "./tail.ts";

const STATEMENTS: Readonly<Record<Exclude<BatchTable, "effects">, string>> = {
  events: "INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?)",
  actors: `INSERT INTO actor (ref, kind, version, hash, scope, parent, restart, spawn_seq, incarnation, started_seq, status, inbox_high, control_high,
    restarts, input, snapshot) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (ref) DO UPDATE SET version = excluded.version, hash = excluded.hash,
    restart = excluded.restart, incarnation = excluded.incarnation, started_seq = excluded.started_seq, status = excluded.status,
    inbox_high = excluded.inbox_high, control_high = excluded.control_high, restarts = excluded.restarts, input = excluded.input,
    snapshot = excluded.snapshot`,
  actorStates: "UPDATE actor SET status = ?, inbox_high = ?, control_high = ?, restarts = ?, snapshot = ? WHERE ref = ?",
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
  scopes: `INSERT INTO scope VALUES (?,?,?,?,?) ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, reason = excluded.reason,
    deadline_ms = excluded.deadline_ms`,
  scopesGone: "DELETE FROM scope WHERE name = ?",
};

/** Places of cells in their rows. */
const EVENT_ACTOR = 2;
const [ACTOR_REF, ACTOR_SNAPSHOT] = [0, 15];
const [STATE_REF, STATE_SNAPSHOT] = [5, 4];

export interface JournalPlace {
  readonly directory: string;
  /** Where batches write files. */
  readonly filesDirectory: string;
}

/** What lies below a store; the simulator has its own. */
export interface StoreParts {
  /** Of the present format, locked. */
  readonly database: DatabaseSync;
  readonly openTail: () => TailFile;
  readonly files: BatchFiles;
  readonly monotonicMs: () => number;
}

export function openStore({ directory, filesDirectory }: JournalPlace): JournalStore {
  let database: DatabaseSync;
  try {
    database = openDatabase(directory);
  } catch (error) {
    throw journalError(error);
  }
  return new JournalStore({
    database,
    openTail: () => openTailFile(join(directory, "journal.tail")),
    files: new JournaledFiles(filesDirectory),
    monotonicMs: () => performance.now(),
  });
}

/** Of the actors that the batch touched, by name. */
function stateHashes({ tables: { actors = [], actorStates = [] } }: BatchRows): Map<Cell | undefined, string> {
  const hashes = new Map<Cell | undefined, string>();
  for (let start = 0; start < actors.length; start += ROW_WIDTHS.actors)
    hashes.set(actors[start + ACTOR_REF], stateHash(String(actors[start + ACTOR_SNAPSHOT])));
  for (let start = 0; start < actorStates.length; start += ROW_WIDTHS.actorStates)
    hashes.set(actorStates[start + STATE_REF], stateHash(String(actorStates[start + STATE_SNAPSHOT])));
  return hashes;
}

export class JournalStore {
  readonly #database: DatabaseSync;
  readonly #tail: JournalTail;
  readonly #files: BatchFiles;
  readonly #monotonicMs: () => number;
  readonly #statements = new Map<string, StatementSync>();
  /** Durable and answered, not applied yet. */
  #committed: BatchRows | null = null;
  #checkpointAtBytes = TAIL_BYTES_MAX;
  /** A full disk has no room for both: its first free space is the tail's. */
  #fullUntilMs = 0;
  #broken: CohortError | null = null;

  constructor({ database, openTail, files, monotonicMs }: StoreParts) {
    try {
      this.#database = database;
      this.#files = files;
      this.#monotonicMs = monotonicMs;
      this.#tail = new JournalTail(openTail(), Number(this.#statement("SELECT generation FROM tail").get()?.["generation"]));
      this.#replay();
      this.checkpoint();
    } catch (error) {
      throw journalError(error);
    }
  }

  /** What a crash, or a full disk, kept out of the database. */
  #replay(): void {
    this.#database.exec("BEGIN IMMEDIATE");
    for (const payload of this.#tail.records()) {
      const batch = presentBatch(deserialize(payload) as BatchRows);
      for (const file of batch.files) this.#files.write(file);
      this.#applyRows(batch);
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
    return loadState((sql, ...cells) => this.#rows(sql, ...cells));
  }

  pull(receiver: string, after: number, limit: number): readonly OutboxRow[] {
    return readOutbox((sql, ...cells) => this.#rows(sql, ...cells), receiver, after, limit);
  }

  /** The batch is durable; apply() comes before anything else is asked. */
  commit(bytes: Uint8Array): CommitAnswer {
    if (this.#broken !== null) throw this.#broken;
    if (this.#tail.bytes >= TAIL_BYTES_FULL) this.#mustCheckpoint();
    const batch = deserialize(bytes) as BatchRows;
    const duplicates = this.#duplicates(batch.tables.effects ?? []);
    this.#keep(bytes, batch);
    this.#committed = batch;
    return { duplicates };
  }

  #keep(bytes: Uint8Array, { files }: BatchRows): void {
    try {
      for (const file of files) this.#files.write(file);
      this.#tail.append(bytes);
    } catch (error) {
      this.#fullUntilMs = this.#monotonicMs() + CHECKPOINT_RETRY_MS;
      throw error;
    }
  }

  apply(): void {
    const batch = this.#committed;
    if (batch === null) return;
    this.#committed = null;
    try {
      this.#applyRows(batch);
    } catch (error) {
      // It stands in the tail: what the next opening makes of it is no worse. Nothing more is taken.
      this.#broken = journalError(error);
      return;
    }
    if (this.#tail.bytes >= this.#checkpointAtBytes) this.checkpoint();
  }

  #applyRows(batch: BatchRows): void {
    this.#statement("UPDATE sequence SET value = ?").run(batch.sequence);
    for (const table of Object.keys(ROW_WIDTHS) as BatchTable[]) {
      const cells = batch.tables[table];
      if (cells === undefined) continue;
      if (table === "effects") this.#insertEffects(cells);
      else if (table === "events") this.#insertEvents(cells, stateHashes(batch));
      else this.#runAll(this.#statement(STATEMENTS[table]), cells, ROW_WIDTHS[table]);
    }
  }

  /** Moves the tail into the database. On a full disk the tail stays, and grows: nothing is lost but the time of a replay. */
  checkpoint(): void {
    try {
      if (this.#broken === null) this.#mustCheckpoint();
      this.#checkpointAtBytes = TAIL_BYTES_MAX;
    } catch (error) {
      const named = journalError(error);
      if (named.code !== "JOURNAL_FULL") this.#broken = named;
      this.#checkpointAtBytes = this.#tail.bytes + TAIL_BYTES_MAX;
      this.#fullUntilMs = this.#monotonicMs() + CHECKPOINT_RETRY_MS;
    }
  }

  /** When nothing is asked for a while. */
  rest(): void {
    if (this.#monotonicMs() >= this.#fullUntilMs) this.checkpoint();
  }

  #mustCheckpoint(): void {
    if (this.#tail.bytes === 0) return;
    this.#files.sync();
    const next = this.#tail.generation + 1;
    try {
      this.#statement("UPDATE tail SET generation = ?").run(next);
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#giveBack();
      // The tail has all of it.
      this.#replay();
      throw error;
    }
    this.#tail.begin(next);
    this.#database.exec("BEGIN IMMEDIATE");
  }

  /** What SQLite wrote in vain is for the tail to grow. */
  #giveBack(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // No room for that either: then it stays as it is.
      if (journalError(error).code !== "JOURNAL_FULL") throw error;
    }
  }

  /** Ids of effects whose key was used before. */
  #duplicates(cells: readonly Cell[]): readonly number[] {
    const duplicates: number[] = [];
    const here = new Set<Cell>();
    const used = this.#statement("SELECT 1 FROM effect WHERE key = ?");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const key = cells[start + 3] ?? null;
      if (here.has(key) || used.get(key) !== undefined) duplicates.push(Number(cells[start]));
      here.add(key);
    }
    return duplicates;
  }

  #runAll(statement: StatementSync, cells: readonly Cell[], width: number): void {
    for (let start = 0; start < cells.length; start += width) statement.run(...cells.slice(start, start + width));
  }

  #insertEffects(cells: readonly Cell[]): void {
    const planned = this.#statement("INSERT INTO effect VALUES (?1,?2,?3,?4,?5,?6,?7,'planned') ON CONFLICT (key) DO NOTHING");
    const refused = this.#statement("INSERT INTO effect VALUES (?1,?2,?3,NULL,?5,?6,?7,'duplicate')");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const row = cells.slice(start, start + ROW_WIDTHS.effects);
      if (Number(planned.run(...row).changes) > 0) continue;
      refused.run(...row);
    }
  }

  /** The last event of each actor gets the hash of the state that the batch leaves it in. */
  #insertEvents(cells: readonly Cell[], hashes: Map<Cell | undefined, string>): void {
    const insert = this.#statement(STATEMENTS.events);
    const rows: Cell[][] = [];
    for (let end = cells.length; end > 0; end -= ROW_WIDTHS.events) {
      const row = cells.slice(end - ROW_WIDTHS.events, end);
      const actor = row[EVENT_ACTOR];
      rows.push([...row, hashes.get(actor) ?? null]);
      hashes.delete(actor);
    }
    for (const row of rows.toReversed()) insert.run(...row);
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

  history(scope: string, after: HistoryCursor | null, limit: number): HistoryPage {
    return readHistory((sql, ...cells) => this.#rows(sql, ...cells), scope, after, limit);
  }

  close(): void {
    this.checkpoint();
    this.#files.close();
    this.#tail.close();
    this.#statements.clear();
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    this.#database.close();
  }
}
