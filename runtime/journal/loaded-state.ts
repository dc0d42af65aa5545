/** Reads all that a recovery needs: once, at the opening, and never more of a mailbox than it holds. */
import { MAILBOX_WINDOW } from "../kernel/limits.ts";
import { refHash } from "../kernel/ref-hash.ts";
import type { Cell, LoadedState, OutboxRow } from "./batch-rows.ts";

type Rows = (sql: string, ...cells: Cell[]) => unknown[];

const LIVE = "status IN ('active', 'restarting', 'stopped')";
/** What comes from a scope is control: there is one of a kind at most, and it is never left behind. */
const ORDINARY = "substr(sender, 1, 6) <> 'scope:'";

const ACTORS = `SELECT ref, kind, version, hash, scope, parent, restart, spawn_seq, incarnation, started_seq, status, inbox_high, control_high,
  restarts, input, snapshot FROM actor WHERE ${LIVE} ORDER BY spawn_seq, rowid`;

const OUTBOX = `SELECT id, sender, receiver, event FROM (SELECT *, row_number() OVER (PARTITION BY receiver, ${ORDINARY} ORDER BY id) AS place FROM outbox)
  WHERE place <= ?1 OR NOT ${ORDINARY} ORDER BY id`;

const BEYOND = `SELECT receiver, count(*) - ?1 AS count FROM outbox WHERE ${ORDINARY} GROUP BY receiver HAVING count(*) > ?1`;

export function loadState(rows: Rows): LoadedState {
  const one = (sql: string): unknown => (rows(sql)[0] as { readonly value: unknown } | undefined)?.value;
  const loaded = {
    sequence: one("SELECT value FROM sequence"),
    actors: rows(ACTORS),
    ended: endedRefs(rows),
    outbox: rows(OUTBOX, MAILBOX_WINDOW),
    outboxBeyond: rows(BEYOND, MAILBOX_WINDOW),
    timers: rows("SELECT owner, name, at_ms FROM timer"),
    effects: rows("SELECT id, owner, name, key, asked_key, params, farewell, state FROM effect WHERE state <> 'done' ORDER BY id"),
    scopes: rows("SELECT name, parent, mode, reason, deadline_ms FROM scope"),
    counters: rows("SELECT name, value FROM counter"),
    logHeads: rows("SELECT log, cursor FROM log_head"),
  };
  // STRICT tables with CHECKed writers: the shapes are those of schema.ts.
  return loaded as unknown as LoadedState;
}

const PAGE = 4096;

/** In pages, so that a million names are never in memory at once. */
function endedRefs(rows: Rows): Uint32Array {
  const count = (rows(`SELECT count(*) AS n FROM actor WHERE NOT ${LIVE}`)[0] as { readonly n: number }).n;
  const hashes = new Uint32Array(count * 4);
  for (let done = 0, after = 0; done < count;) {
    const page = rows(`SELECT rowid AS id, ref FROM actor WHERE NOT ${LIVE} AND rowid > ? ORDER BY rowid LIMIT ${PAGE}`, after) as {
      readonly id: number;
      readonly ref: string;
    }[];
    if (page.length === 0) break;
    for (const { id, ref } of page) {
      hashes.set(refHash(ref), done * 4);
      done++;
      after = id;
    }
  }
  return hashes;
}

/** Ordinary messages behind `after`, in order. */
export function readOutbox(rows: Rows, receiver: string, after: number, limit: number): readonly OutboxRow[] {
  const found = rows(
    `SELECT id, sender, receiver, event FROM outbox WHERE receiver = ? AND id > ? AND ${ORDINARY} ORDER BY id LIMIT ?`,
    receiver,
    after,
    limit,
  );
  return found as OutboxRow[];
}
