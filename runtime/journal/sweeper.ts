/**
 * Removes event rows that nothing needs any longer, a slice at a time, and leaves in their place what the chain needs: the link before and the link after.
 * Owns nothing.
 * 1. Removed are old rows of which only facts are left, or whose actor never was; none of an actor or scope whose content is kept.
 * 2. Neighbouring gaps become one: there are never more gaps than rows that stand, and one.
 */
import type { Statements } from "./statements.ts";

export interface SweepProgress {
  readonly seq: number;
  readonly removed: number;
  readonly done: boolean;
}

interface Row {
  readonly seq: number;
  readonly link: string | null;
  readonly goes: number;
}

interface Gap {
  readonly first_seq: number;
  readonly last_seq: number;
  readonly events: number;
  readonly before: string;
  readonly after: string;
}

const ROWS = `SELECT seq, link, payload = '' OR cause = 'deleted' OR (substr(actor, 1, 6) <> 'scope:' AND NOT EXISTS (SELECT 1 FROM actor WHERE ref = event.actor)) AS goes
  FROM event WHERE seq > ? ORDER BY seq LIMIT ?`;

/** Of events before `cutoffMs`; they stand in the order of time, but for a clock that was set back. */
export function sweepSlice(statements: Statements, cutoffMs: number, from: Omit<SweepProgress, "done">, limit: number): SweepProgress {
  const rows = statements.all<Row & { at_ms: number }>(ROWS.replace("SELECT seq,", "SELECT at_ms, seq,"), from.seq, limit);
  const end = rows.findIndex((row) => row.at_ms >= cutoffMs);
  const old = end === -1 ? rows : rows.slice(0, end);
  let removed = from.removed;
  for (let at = 0; at < old.length;) {
    const stretch = takeStretch(old, at);
    if (stretch.length === 0) at++;
    else {
      remove(statements, stretch);
      removed += stretch.length;
      at += stretch.length;
    }
  }
  return { seq: old.at(-1)?.seq ?? from.seq, removed, done: end !== -1 || rows.length < limit };
}

/** Rows that go, one behind the other. Those without a link, of an older format, are no part of the chain. */
function takeStretch(rows: readonly Row[], from: number): readonly Row[] {
  const isLinked = rows[from]?.link !== null;
  let to = from;
  for (let row = rows[to]; row !== undefined && row.goes === 1 && (row.link !== null) === isLinked; row = rows[to]) to++;
  return rows.slice(from, to);
}

function remove(statements: Statements, stretch: readonly Row[]): void {
  const [first, last] = [stretch[0], stretch.at(-1)];
  if (first === undefined || last === undefined) return;
  statements.run("DELETE FROM event WHERE seq BETWEEN ? AND ?", first.seq, last.seq);
  if (last.link === null) return;
  const prior = statements.one<{ seq: number; link: string | null }>(
    "SELECT seq, link FROM event WHERE seq < ? ORDER BY seq DESC LIMIT 1",
    first.seq,
  );
  const next = statements.one<{ seq: number }>("SELECT seq FROM event WHERE seq > ? ORDER BY seq LIMIT 1", last.seq);
  const between = "SELECT * FROM event_gap WHERE first_seq > ? AND first_seq < ? ORDER BY first_seq";
  const gaps = statements.all<Gap>(between, prior?.seq ?? 0, next?.seq ?? Number.MAX_SAFE_INTEGER);
  const before = gaps.find((gap) => gap.last_seq < first.seq)?.before ?? prior?.link ?? "";
  const after = gaps.find((gap) => gap.first_seq > last.seq)?.after ?? last.link;
  const events = gaps.reduce((sum, gap) => sum + gap.events, stretch.length);
  for (const gap of gaps) statements.run("DELETE FROM event_gap WHERE first_seq = ?", gap.first_seq);
  const [firstSeq, lastSeq] = [Math.min(first.seq, gaps[0]?.first_seq ?? first.seq), Math.max(last.seq, gaps.at(-1)?.last_seq ?? last.seq)];
  statements.run("INSERT INTO event_gap VALUES (?,?,?,?,?)", firstSeq, lastSeq, events, before, after);
}
