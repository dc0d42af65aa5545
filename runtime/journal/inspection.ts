/** Answers what a person may ask of a journal. Reads only, and never much at a time. Owns nothing. */
import { CohortError } from "../kernel/error.ts";
import type {
  EventPage,
  EventQuery,
  InspectedActor,
  InspectedEffect,
  InspectedEvent,
  JournalSize,
  JournalSummary,
  TableSize,
} from "../kernel/inspection.ts";
import type { Statements } from "./statements.ts";

const TABLES = ["event", "actor", "outbox", "timer", "effect", "projection", "log", "scope", "counter", "event_gap", "used_key"] as const;
/** The last so many say how fast events come. */
const RATE_EVENTS = 1000;
/** Rows that one page looks at where only some of them are wanted. */
const SCANNED_MAX = 5000;

export interface TailFacts {
  readonly tailBytes: number;
  readonly reserveBytesLeft: number;
}

function pragma(statements: Statements, name: string): number {
  const row = statements.one<Record<string, number>>(`PRAGMA ${name}`);
  return Object.values(row ?? {})[0] ?? 0;
}

function count(statements: Statements, table: string): number {
  return statements.one<{ n: number }>(`SELECT count(*) AS n FROM ${table}`)?.n ?? 0;
}

function measured(statements: Statements): ReadonlyMap<string, number> {
  const rows = statements.all<{ tbl: string; bytes: number }>(
    `SELECT tbl_name AS tbl, sum(pgsize) AS bytes FROM dbstat JOIN sqlite_schema ON sqlite_schema.name = dbstat.name WHERE aggregate = TRUE GROUP BY tbl_name`,
  );
  return new Map(rows.map(({ tbl, bytes }) => [tbl, bytes]));
}

export function sizeOf(statements: Statements, tail: TailFacts): JournalSize {
  const pageBytes = pragma(statements, "page_size");
  return {
    bytes: pragma(statements, "page_count") * pageBytes,
    freeBytes: pragma(statements, "freelist_count") * pageBytes,
    ...tail,
    erasures: count(statements, "erasure"),
  };
}

/** `measure`: how large each table is, for which every page is looked at. */
export function summarize(statements: Statements, tail: TailFacts, measure: boolean): JournalSummary {
  const sizes = measure ? measured(statements) : null;
  const tables = TABLES.map((table): TableSize => ({
    table,
    rows: count(statements, table),
    bytes: sizes === null ? null : (sizes.get(table) ?? 0),
  }));
  const head = statements.one<{ seq: number; link: string; events: number }>("SELECT seq, link, events FROM chain") ?? {
    seq: 0,
    link: "",
    events: 0,
  };
  const last = statements.all<{ at_ms: number }>(`SELECT at_ms FROM event ORDER BY seq DESC LIMIT ${RATE_EVENTS}`);
  const [newest, thousandth] = [last[0]?.at_ms ?? null, last.at(-1)?.at_ms ?? null];
  const spanMs = newest === null || thousandth === null ? 0 : newest - thousandth;
  const actors = statements.all<{ status: string; n: number }>("SELECT status, count(*) AS n FROM actor GROUP BY status");
  return {
    format: pragma(statements, "user_version"),
    ...sizeOf(statements, tail),
    tables,
    events: {
      total: tables[0]?.rows ?? 0,
      oldestAtMs: statements.one<{ at_ms: number }>("SELECT at_ms FROM event ORDER BY seq LIMIT 1")?.at_ms ?? null,
      newestAtMs: newest,
      perSecond: spanMs <= 0 ? 0 : Math.round(((last.length - 1) / spanMs) * 1e6) / 1000,
      removed: statements.one<{ n: number }>("SELECT coalesce(sum(events), 0) AS n FROM event_gap")?.n ?? 0,
    },
    actors: Object.fromEntries(actors.map(({ status, n }) => [status, n])),
    pendingEffects: statements.one<{ n: number }>("SELECT count(*) AS n FROM effect WHERE state <> 'done'")?.n ?? 0,
    timers: count(statements, "timer"),
    outbox: count(statements, "outbox"),
    head: { seq: head.seq, link: head.link },
  };
}

const EVENT = `seq, at_ms AS atMs, actor, cause, source, type, outcome, detail, payload, state_hash AS stateHash`;

const TREE = `WITH RECURSIVE tree (name) AS (SELECT ?1 UNION SELECT scope.name FROM scope JOIN tree ON scope.parent = tree.name)`;

const OF = `${TREE} SELECT ${EVENT} FROM event WHERE seq > ?2 AND actor IN (SELECT ?1 UNION SELECT 'scope:' || name FROM tree UNION
  SELECT ref FROM actor WHERE scope IN (SELECT name FROM tree)) ORDER BY seq LIMIT ?3`;

/** Where a type is wanted, a page may be short, or empty, and have a next one all the same. */
export function readEvents(statements: Statements, { of, type, after, limit }: EventQuery): EventPage {
  const scanned = type === undefined ? limit : SCANNED_MAX;
  const rows =
    of === undefined
      ? statements.all<InspectedEvent>(`SELECT ${EVENT} FROM event WHERE seq > ? ORDER BY seq LIMIT ?`, after, scanned)
      : statements.all<InspectedEvent>(OF, of, after, scanned);
  const wanted = type === undefined ? rows : rows.filter((row) => row.type === type);
  const events = wanted.slice(0, limit);
  if (wanted.length > limit) return { events, next: events.at(-1)?.seq ?? null };
  return { events, next: rows.length < scanned ? null : (rows.at(-1)?.seq ?? null) };
}

const EFFECT = "id, owner, name, asked_key AS key, state, params";

export function pendingEffects(statements: Statements, after: number, limit: number): readonly InspectedEffect[] {
  return statements.all<InspectedEffect>(`SELECT ${EFFECT} FROM effect WHERE state <> 'done' AND id > ? ORDER BY id LIMIT ?`, after, limit);
}

export function inspectActor(statements: Statements, ref: string): InspectedActor | null {
  const row = statements.one<Omit<InspectedActor, "events" | "waitingMessages" | "timers" | "effects">>(
    "SELECT ref, kind, version, scope, parent, status, incarnation, snapshot FROM actor WHERE ref = ?",
    ref,
  );
  if (row === undefined) return null;
  return {
    ...row,
    events: statements.one<{ n: number }>("SELECT count(*) AS n FROM event WHERE actor = ?", ref)?.n ?? 0,
    waitingMessages: statements.one<{ n: number }>("SELECT count(*) AS n FROM outbox WHERE receiver = ?", ref)?.n ?? 0,
    timers: statements.all<{ name: string; atMs: number }>("SELECT name, at_ms AS atMs FROM timer WHERE owner = ? ORDER BY at_ms", ref),
    effects: statements.all<InspectedEffect>(`SELECT ${EFFECT} FROM effect WHERE owner = ? AND state <> 'done' ORDER BY id LIMIT 100`, ref),
  };
}

/** A page of this many rows holds up commits for some milliseconds. */
export function checkedLimit(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 5000)
    throw new CohortError("REQUEST_INVALID", { on: `limit ${limit}: 1 to 5000` });
  return limit;
}
