/**
 * Owns a real SQLite database in memory that outlives the deaths of the processes that use it.
 * Does not own: what is in it.
 * 1. A transaction that was not committed at a death is rolled back by the restart; a committed one is durable.
 * 2. Closing it only ends the open transaction, as the file of a closed database stays; dispose() frees it.
 */
import { DatabaseSync } from "node:sqlite";
import { JOURNAL_APPLICATION_ID, JOURNAL_FORMAT, SCHEMA } from "../journal/schema.ts";
import type { DiskGate } from "./disk-gate.ts";

const SQLITE_FULL = 13;

class DatabaseFull extends Error {
  readonly errcode = SQLITE_FULL;
}

export class SimulatedDatabase extends DatabaseSync {
  readonly #gate: DiskGate;

  constructor(gate: DiskGate) {
    super(":memory:");
    this.#gate = gate;
    super.exec(`BEGIN; ${SCHEMA} PRAGMA application_id = ${JOURNAL_APPLICATION_ID}; PRAGMA user_version = ${JOURNAL_FORMAT}; COMMIT`);
    // The schema draws it by SQLite's own chance.
    super.exec(`UPDATE tail SET generation = ${gate.random.below(1_000_000)}`);
  }

  override exec(sql: string): void {
    if (sql !== "COMMIT") {
      this.#gate.pass("database", () => super.exec(sql));
      return;
    }
    this.#gate.pass("database.commit", () => {
      if (this.#gate.full) throw new DatabaseFull("database or disk is full");
      super.exec(sql);
    });
  }

  /** After a death, and at a close: what was not committed is gone. */
  rollback(): void {
    if (this.isTransaction) super.exec("ROLLBACK");
  }

  override close(): void {
    this.rollback();
  }

  dispose(): void {
    super.close();
  }
}
