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
import type { DatabaseSync } from "node:sqlite";
import { deserialize } from "node:v8";
import { CohortError } from "../kernel/error.ts";
import { CHECKPOINT_RETRY_MS, TAIL_BYTES_FULL, TAIL_BYTES_MAX, TAIL_RESERVE_BYTES } from "../kernel/limits.ts";
import type { BatchRows, CommitAnswer, LoadedState, OutboxRow } from "./batch-rows.ts";
import { writeBackup } from "./backup-file.ts";
import { journalError, openDatabase } from "./database.ts";
import { readHistory } from "./history.ts";
import type { HistoryCursor, HistoryPage } from "../kernel/history.ts";
import { JournaledFiles, type BatchFiles } from "./journaled-files.ts";
import { loadState, readOutbox } from "./loaded-state.ts";
import { presentBatch } from "./old-batch.ts";
import { OwedFiles } from "./owed-files.ts";
import { RowWriter } from "./row-writer.ts";
import { Statements } from "./statements.ts";
import { runUpkeep, type Upkeep, type UpkeepName, type UpkeepPlace } from "./upkeep.ts";
import { openTailFile, type TailFile } from "./tail-file.ts";
import { JournalTail, type CommitLane } from "./tail.ts";

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
  /** Of the tail, for the control lane. Default TAIL_RESERVE_BYTES. */
  readonly reserveBytes?: number;
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

export class JournalStore {
  readonly #database: DatabaseSync;
  readonly #tail: JournalTail;
  readonly #files: OwedFiles;
  readonly #monotonicMs: () => number;
  readonly #statements: Statements;
  readonly #rows: RowWriter;
  /** Durable and answered, not applied yet. */
  #committed: BatchRows | null = null;
  #checkpointAtBytes = TAIL_BYTES_MAX;
  /** A full disk has no room for both: its first free space is the tail's. */
  #fullUntilMs = 0;
  #broken: CohortError | null = null;
  /** The open transaction has more in it than the tail gives back: a checkpoint keeps it, a crash loses it. */
  #changed = false;
  #epoch = 1;

  constructor({ database, openTail, files, monotonicMs, reserveBytes = TAIL_RESERVE_BYTES }: StoreParts) {
    try {
      this.#database = database;
      this.#files = new OwedFiles(files);
      this.#monotonicMs = monotonicMs;
      this.#statements = new Statements(database);
      this.#rows = new RowWriter(this.#statements);
      const generation = this.#statements.one<{ generation: number }>("SELECT generation FROM tail")?.generation;
      this.#tail = new JournalTail(openTail(), Number(generation), reserveBytes);
      this.#replay("with files");
      this.checkpoint();
      // Whoever reads those files would take them for whole, and write where something else belongs.
      if (this.#files.owes) throw new CohortError("JOURNAL_FULL", { on: "files that the tail has wait for space" });
      this.#tail.prepare();
    } catch (error) {
      throw journalError(error);
    }
  }

  /** What a crash, or a full disk, kept out of the database. Files lose nothing by the latter. */
  #replay(what: "with files" | "rows"): void {
    this.#database.exec("BEGIN IMMEDIATE");
    for (const payload of this.#tail.records()) {
      const batch = presentBatch(deserialize(payload) as BatchRows);
      if (what === "with files") for (const file of batch.files) this.#files.writeOrOwe(file);
      this.#rows.write(batch);
    }
  }

  load(): LoadedState {
    return loadState((sql, ...cells) => this.#statements.all(sql, ...cells));
  }

  pull(receiver: string, after: number, limit: number): readonly OutboxRow[] {
    return readOutbox((sql, ...cells) => this.#statements.all(sql, ...cells), receiver, after, limit);
  }

  /** The batch is durable; apply() comes before anything else is asked. */
  commit(bytes: Uint8Array, lane: CommitLane): CommitAnswer {
    if (this.#broken !== null) throw this.#broken;
    if (this.#tail.bytes >= TAIL_BYTES_FULL && lane === "ordinary") this.#mustCheckpoint();
    const batch = deserialize(bytes) as BatchRows;
    const duplicates = this.#rows.duplicates(batch.tables.effects ?? []);
    this.#keep(bytes, batch, lane);
    this.#committed = batch;
    return { duplicates };
  }

  #keep(bytes: Uint8Array, { files }: BatchRows, lane: CommitLane): void {
    try {
      for (const file of files) {
        if (lane === "control") this.#files.writeOrOwe(file);
        else this.#files.write(file);
      }
      this.#tail.append(bytes, lane);
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
      this.#rows.write(batch);
    } catch (error) {
      // It stands in the tail: what the next opening makes of it is no worse. Nothing more is taken.
      this.#broken = journalError(error);
      return;
    }
    if (this.#tail.bytes >= this.#checkpointAtBytes) this.checkpoint();
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

  /** When nothing is asked for a while. Answers after how long it is to be asked again: the disk was full, and nobody else may come to look; null: never. */
  rest(): number | null {
    if (this.#monotonicMs() >= this.#fullUntilMs) this.checkpoint();
    const leftMs = this.#fullUntilMs - this.#monotonicMs();
    return leftMs > 0 && this.#broken === null ? leftMs : null;
  }

  #mustCheckpoint(): void {
    if (this.#tail.bytes === 0 && !this.#changed) return;
    this.#files.sync();
    const next = this.#tail.generation + 1;
    try {
      this.#statements.run("UPDATE tail SET generation = ?", next);
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#epoch++;
      this.#giveBack();
      // The tail has all of it.
      this.#replay("rows");
      throw error;
    } finally {
      this.#changed = false;
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

  get(collection: string, key: string): string | null {
    return (
      this.#statements.one<{ value: string }>("SELECT value FROM projection WHERE collection = ? AND key = ?", collection, key)?.value ??
      null
    );
  }

  list(collection: string, after: string, limit: number): unknown[] {
    const sql = "SELECT key, value FROM projection WHERE collection = ? AND key > ? ORDER BY key LIMIT ?";
    return this.#statements.all(sql, collection, after, limit);
  }

  readLog(log: string, after: number, limit: number): unknown[] {
    return this.#statements.all("SELECT cursor, value FROM log WHERE log = ? AND cursor > ? ORDER BY cursor LIMIT ?", log, after, limit);
  }

  history(scope: string, after: HistoryCursor | null, limit: number): HistoryPage {
    return readHistory((sql, ...cells) => this.#statements.all(sql, ...cells), scope, after, limit);
  }

  /** Whoever asks in slices has to be ready that a crash, or a full disk at a checkpoint, takes back what earlier slices changed. */
  upkeep<N extends UpkeepName>(name: N, ask: Upkeep[N]["ask"]): Upkeep[N]["answer"] {
    if (this.#broken !== null) throw this.#broken;
    const place: UpkeepPlace = {
      statements: this.#statements,
      tail: { tailBytes: this.#tail.bytes, reserveBytesLeft: this.#tail.reserveBytesLeft },
      epoch: this.#epoch,
      changed: () => (this.#changed = true),
      purge: () => this.#purge(),
      backup: (path) => this.#betweenTransactions(() => writeBackup(this.#database, path)),
    };
    return runUpkeep(place, name, ask);
  }

  #purge(): void {
    this.#betweenTransactions(() => this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
    this.#tail.wipe();
  }

  /** With everything in the database, and nothing in the tail. */
  #betweenTransactions<T>(work: () => T): T {
    this.#changed = true;
    this.#mustCheckpoint();
    this.#database.exec("COMMIT");
    try {
      return work();
    } finally {
      this.#database.exec("BEGIN IMMEDIATE");
    }
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
