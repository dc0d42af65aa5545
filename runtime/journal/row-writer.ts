/** Writes the rows of a batch into the tables. The same rows again, as a replay of the tail gives them to the older database, give the same tables. Owns nothing. */
import { randomUUID } from "node:crypto";
import { stateHash } from "../kernel/state-hash.ts";
import { ROW_WIDTHS, type BatchRows, type BatchTable, type Cell } from "./batch-rows.ts";
import { CHAIN_START, commitmentOf, linkOf, saltOf } from "./event-chain.ts";
import { usedKeyHash } from "./used-key.ts";
import type { Statements } from "./statements.ts";

const STATEMENTS: Readonly<Record<Exclude<BatchTable, "effects">, string>> = {
  events: `INSERT INTO event (seq, at_ms, actor, cause, source, source_id, type, payload, outcome, detail, state_hash, salt, commitment, link)
    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
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
  erasures: "INSERT INTO erasure VALUES (?,?,?) ON CONFLICT (scope) DO NOTHING",
  erasuresGone: "DELETE FROM erasure WHERE scope = ?",
};

/** Places of cells in their rows. */
const EVENT_ACTOR = 2;
const [ACTOR_REF, ACTOR_SNAPSHOT] = [0, 15];
const [STATE_REF, STATE_SNAPSHOT] = [5, 4];
const EFFECT_KEY = 3;

const CHAIN_HEAD = "SELECT seq, link, events FROM chain";
const noChain = { seq: 0, link: CHAIN_START, events: 0 };

type EventCells = [number, number, string, string, string | null, number | null, string, string, string, string | null, string | null];

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
      else if (table === "events") this.#insertEvents(cells, stateHashes(batch), batch.chance ?? randomUUID());
      else this.#runAll(STATEMENTS[table], cells, ROW_WIDTHS[table]);
    }
  }

  /** Ids of effects whose key was used before. */
  duplicates(cells: readonly Cell[]): readonly number[] {
    const duplicates: number[] = [];
    const here = new Set<Cell>();
    const used = this.#statements.get("SELECT 1 FROM effect WHERE key = ?1 UNION ALL SELECT 1 FROM used_key WHERE hash = ?2");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const key = cells[start + EFFECT_KEY] ?? null;
      if (here.has(key) || used.get(key, usedKeyHash(String(key))) !== undefined) duplicates.push(Number(cells[start]));
      here.add(key);
    }
    return duplicates;
  }

  #runAll(sql: string, cells: readonly Cell[], width: number): void {
    const statement = this.#statements.get(sql);
    for (let start = 0; start < cells.length; start += width) statement.run(...cells.slice(start, start + width));
  }

  #insertEffects(cells: readonly Cell[]): void {
    const planned = this.#statements
      .get(`INSERT INTO effect SELECT ?1,?2,?3,?4,?5,?6,?7,'planned' WHERE NOT EXISTS (SELECT 1 FROM used_key WHERE hash = ?8)
      ON CONFLICT (key) DO NOTHING`);
    const refused = this.#statements.get("INSERT INTO effect VALUES (?1,?2,?3,NULL,?5,?6,?7,'duplicate')");
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) {
      const row = cells.slice(start, start + ROW_WIDTHS.effects);
      if (Number(planned.run(...row, usedKeyHash(String(row[EFFECT_KEY]))).changes) > 0) continue;
      refused.run(...row);
    }
  }

  /** The last event of each actor gets the hash of the state that the batch leaves it in; each gets its link of the chain. */
  #insertEvents(cells: readonly Cell[], hashes: Map<Cell | undefined, string>, chance: string): void {
    const insert = this.#statements.get(STATEMENTS.events);
    const rows: Cell[][] = [];
    for (let end = cells.length; end > 0; end -= ROW_WIDTHS.events) {
      const row = cells.slice(end - ROW_WIDTHS.events, end);
      const actor = row[EVENT_ACTOR];
      rows.push([...row, hashes.get(actor) ?? null]);
      hashes.delete(actor);
    }
    let { link, events, seq } = this.#statements.one<{ link: string; events: number; seq: number }>(CHAIN_HEAD) ?? noChain;
    for (const row of rows.toReversed()) {
      const [at, at_ms, actor, cause, source, source_id, type, payload, outcome, detail, state_hash] = row as EventCells;
      seq = at;
      const salt = saltOf(chance, seq);
      const commitment = commitmentOf(salt, { payload, detail });
      link = linkOf(link, { seq, at_ms, actor, cause, source, source_id, type, outcome, state_hash }, commitment);
      events++;
      insert.run(...row, salt, commitment, link);
    }
    this.#statements.run("UPDATE chain SET seq = ?, link = ?, events = ?", seq, link, events);
  }
}
