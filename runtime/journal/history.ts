/** Reads what the journal has of the actors of a scope and of those inside it, in pages: their rows, and their events in order. */
import {
  TOMBSTONE,
  type HistoryCursor,
  type HistoryPage,
  type HistoryPart,
  type JournaledActor,
  type JournaledEvent,
} from "../kernel/history.ts";
import type { Cell } from "./batch-rows.ts";

/** A page beyond this would hold up commits noticeably. */
const PAGE_CHARS_MAX = 256 * 1024;

const ACTORS = `WITH RECURSIVE tree (name) AS (SELECT ?1 UNION SELECT scope.name FROM scope JOIN tree ON scope.parent = tree.name)
  SELECT ref, version, hash, status, snapshot FROM actor WHERE scope IN (SELECT name FROM tree) AND ref >= ?2 ORDER BY ref LIMIT ?3`;

const ACTOR = "SELECT ref, version, hash, status, snapshot FROM actor WHERE ref = ?";

/** An event whose content was deleted stands as a tombstone. */
const EVENTS = `SELECT seq, at_ms AS atMs, CASE payload WHEN '' THEN '${TOMBSTONE.cause}' ELSE cause END AS cause,
  CASE payload WHEN '' THEN '${TOMBSTONE.type}' ELSE type END AS type, payload, outcome, detail, state_hash AS stateHash
  FROM event WHERE actor = ? AND seq > ? ORDER BY seq LIMIT ?`;

type Rows = (sql: string, ...cells: Cell[]) => unknown[];

/** `limit` counts actors and events; at least one of each is told. The name of an actor in the scope of another stands for that one actor. */
export function readHistory(rows: Rows, scope: string, after: HistoryCursor | null, limit: number): HistoryPage {
  // One more than is told, and the one that was told already: so that `next` is null exactly at the end.
  const inScope = rows(ACTORS, scope, after?.actor ?? "", limit + 2) as JournaledActor[];
  const actors = inScope.length > 0 ? inScope : (rows(ACTOR, scope) as JournaledActor[]);
  const parts: HistoryPart[] = [];
  let [left, chars] = [limit, PAGE_CHARS_MAX];
  let told: HistoryCursor | null = after;
  for (const actor of actors) {
    const resumed = actor.ref === after?.actor;
    if (resumed && after.seq === null) continue;
    if (parts.length > 0 && (left <= 0 || chars <= 0)) return { parts, next: told };
    const room = Math.max(1, left);
    const found = rows(EVENTS, actor.ref, resumed ? (after.seq ?? 0) : 0, room + 1) as JournaledEvent[];
    const events = fitting(found.slice(0, room), chars);
    const more = events.length < found.length;
    parts.push({ actor, events, more });
    left -= events.length + 1;
    chars -= actor.snapshot.length + events.reduce((sum, event) => sum + event.payload.length, 0);
    told = { actor: actor.ref, seq: more ? (events.at(-1)?.seq ?? 0) : null };
    if (more) return { parts, next: told };
  }
  return { parts, next: null };
}

/** At least one. */
function fitting(events: readonly JournaledEvent[], charsMax: number): readonly JournaledEvent[] {
  let chars = 0;
  const end = events.findIndex((event, at) => (chars += event.payload.length) > charsMax && at > 0);
  return end === -1 ? events : events.slice(0, end);
}
