/**
 * Takes out of the tables what the actors of a scope were told and knew: payloads, snapshots, logs, effects. Facts stay, and so does the chain.
 * Owns nothing: how far it came goes along from slice to slice, and the same slice again is harmless.
 */
import { hash } from "node:crypto";
import { usedKeyHash } from "./used-key.ts";
import type { Statements } from "./statements.ts";

export interface ErasureSpec {
  readonly scope: string;
  readonly logs: readonly string[];
  /** Who asked: JSON. */
  readonly source: string;
}

export interface EraseProgress {
  /** Of the actor whose events are looked at, or null before the first. */
  readonly actor: string | null;
  readonly seq: number;
  readonly events: number;
  /** Over the commitments of what was erased, in order of actor and event. */
  readonly digest: string;
  /** Of the journal's open transaction: what was erased in an earlier one that a full disk took back has to be erased again. */
  readonly epoch: number;
  readonly done: boolean;
}

type Slice = Omit<EraseProgress, "epoch">;

export const eraseStart: EraseProgress = { actor: null, seq: 0, events: 0, digest: "", epoch: 0, done: false };

const TREE = "WITH RECURSIVE tree (name) AS (SELECT ?1 UNION SELECT scope.name FROM scope JOIN tree ON scope.parent = tree.name)";
/** The scopes themselves stand in events, too. */
const NEXT_ACTOR = `${TREE} SELECT min(ref) AS ref FROM (SELECT ref FROM actor WHERE scope IN (SELECT name FROM tree) AND ref > ?2
  UNION ALL SELECT 'scope:' || name FROM tree WHERE 'scope:' || name > ?2)`;
const EVENTS = "SELECT seq, commitment FROM event WHERE actor = ? AND seq > ? ORDER BY seq LIMIT ?";
const ERASE_EVENT = "UPDATE event SET payload = '', detail = NULL, salt = NULL WHERE seq = ?";

export function eraseSlice(statements: Statements, { scope, logs }: ErasureSpec, from: Slice, limit: number): Slice {
  let { actor, seq, events, digest } = from;
  let left = limit;
  while (left > 0) {
    actor ??= nextActor(statements, scope, "");
    if (actor === null) break;
    const rows = statements.all<{ seq: number; commitment: string | null }>(EVENTS, actor, seq, left);
    for (const row of rows) {
      statements.run(ERASE_EVENT, row.seq);
      digest = hash("sha256", `${digest}\0${row.seq}\0${row.commitment ?? ""}`, "base64");
      seq = row.seq;
      events++;
    }
    left -= rows.length;
    if (left <= 0) return { actor, seq, events, digest, done: false };
    eraseActor(statements, actor);
    left--;
    const next = nextActor(statements, scope, actor);
    if (next === null) break;
    [actor, seq] = [next, 0];
  }
  if (actor !== null && left <= 0) return { actor, seq, events, digest, done: false };
  for (const log of logs) left -= eraseLog(statements, log, left);
  if (left <= 0) return { actor, seq, events, digest, done: false };
  statements.run(`UPDATE scope SET reason = '' WHERE name IN (${TREE} SELECT name FROM tree)`, scope);
  return { actor, seq, events, digest, done: true };
}

export function unsettledEffects(statements: Statements, scope: string): number {
  const sql = `${TREE} SELECT count(*) AS n FROM effect WHERE state <> 'done' AND owner IN (SELECT ref FROM actor WHERE scope IN (SELECT name FROM tree))`;
  return statements.one<{ n: number }>(sql, scope)?.n ?? 0;
}

function nextActor(statements: Statements, scope: string, after: string): string | null {
  return statements.one<{ ref: string | null }>(NEXT_ACTOR, scope, after)?.ref ?? null;
}

/** The rows of its effects go, their keys stay refused; what is left of the actor is that its name was used. */
function eraseActor(statements: Statements, ref: string): void {
  const keys = statements.all<{ key: string | null }>("SELECT key FROM effect WHERE owner = ?", ref);
  for (const { key } of keys) if (key !== null) statements.run("INSERT INTO used_key VALUES (?) ON CONFLICT DO NOTHING", usedKeyHash(key));
  statements.run("DELETE FROM effect WHERE owner = ?", ref);
  statements.run("UPDATE actor SET snapshot = '', input = NULL, restarts = NULL WHERE ref = ?", ref);
}

function eraseLog(statements: Statements, log: string, limit: number): number {
  if (limit <= 0) return 0;
  const gone = statements.run(
    "DELETE FROM log WHERE log = ?1 AND cursor IN (SELECT cursor FROM log WHERE log = ?1 ORDER BY cursor LIMIT ?2)",
    log,
    limit,
  );
  if (gone < limit) statements.run("DELETE FROM log_head WHERE log = ?", log);
  return gone;
}
