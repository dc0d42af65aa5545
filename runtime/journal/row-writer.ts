/** Writes the rows of a batch into the tables. The same rows again, as a replay of the tail gives them to the older database, give the same tables. Owns nothing. */
import { stateHash } from "../kernel/state-hash.ts";
import { ROW_WIDTHS, type BatchRows, type BatchTable, type Cell } from "./batch-rows.ts";
import type { Statements } from "./statements.ts";

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
const EFFECT_KEY = 3;

/** Of the actors that the batch touched, by name. */
function stateHashes({ tables: { actors = [], actorStates = [] } }: BatchRows): Map<Cell | undefined, string> {
  const hashes = new Map<Cell | undefined, string>();
  for (let start = 0; start < actors.length; start += ROW_WIDTHS.actors)
    hashes.set(actors[start + ACTOR_REF], stateHash(String(actors[start + ACTOR_SNAPSHOT])));
  for (let start = 0; start < actorStates.length; start += ROW_WIDTHS.actorStates)
    hashes.set(actorStates[start + STATE_REF], stateHash(String(actorStates[start + STATE_SNAPSHOT])));
  return hashes;
}

export class RowWriter {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  write(batch: BatchRows): void {
    this.#statements.run("UPDATE sequence SET value = ?", batch.sequence);
    for (const table of Object.keys(ROW_WIDTHS) as BatchTable[]) {
      const cells = batch.tables[table];
      if (cells === undefined) continue;
      if (table === "effects") this.#insertEffects(cells);
      else if (table === "events") this.#insertEvents(cells, stateHashes(batch));
      else this.#runAll(STATEMENTS[table], cells, ROW_WIDTHS[table]);
    }
  }

  /** Ids of effects whose key was used before. */
  duplicates(cells: readonly Cell[]): readonly number[] {
    const duplicates: number[] = [];
    const here = new Set<Cell>();
    const used = this.#statements.get("SELECT 1 FROM effect WHERE key = ?");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const key = cells[start + EFFECT_KEY] ?? null;
      if (here.has(key) || used.get(key) !== undefined) duplicates.push(Number(cells[start]));
      here.add(key);
    }
    return duplicates;
  }

  #runAll(sql: string, cells: readonly Cell[], width: number): void {
    const statement = this.#statements.get(sql);
    for (let start = 0; start < cells.length; start += width) statement.run(...cells.slice(start, start + width));
  }

  #insertEffects(cells: readonly Cell[]): void {
    const planned = this.#statements.get("INSERT INTO effect VALUES (?1,?2,?3,?4,?5,?6,?7,'planned') ON CONFLICT (key) DO NOTHING");
    const refused = this.#statements.get("INSERT INTO effect VALUES (?1,?2,?3,NULL,?5,?6,?7,'duplicate')");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const row = cells.slice(start, start + ROW_WIDTHS.effects);
      if (Number(planned.run(...row).changes) > 0) continue;
      refused.run(...row);
    }
  }

  /** The last event of each actor gets the hash of the state that the batch leaves it in. */
  #insertEvents(cells: readonly Cell[], hashes: Map<Cell | undefined, string>): void {
    const insert = this.#statements.get(STATEMENTS.events);
    const rows: Cell[][] = [];
    for (let end = cells.length; end > 0; end -= ROW_WIDTHS.events) {
      const row = cells.slice(end - ROW_WIDTHS.events, end);
      const actor = row[EVENT_ACTOR];
      rows.push([...row, hashes.get(actor) ?? null]);
      hashes.delete(actor);
    }
    for (const row of rows.toReversed()) insert.run(...row);
  }
}
