/** Pure: what a journal answers, as tables for a person. */
import type {
  ChainWalk,
  EventPage,
  InspectedActor,
  InspectedEffect,
  InspectedEvent,
  JournalSummary,
} from "../../../runtime/kernel/inspection.ts";
import type { ContentCheck } from "../../../machines/messages/journal.ts";
import { formatDuration, formatSize } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { table, type Column } from "../text/table.ts";

const ago = (atMs: number | null, nowMs: number): string => (atMs === null ? "–" : `${formatDuration(nowMs - atMs)} ago`);
const count = (value: number): string => value.toLocaleString("en-US");

function pairs(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${neutraliseLine(value)}\n`).join("");
}

export function summaryText(summary: JournalSummary, nowMs: number): string {
  const { events, actors, head } = summary;
  const living = ["active", "restarting", "stopped"].reduce((sum, status) => sum + (actors[status] ?? 0), 0);
  const known = Object.values(actors).reduce((sum, n) => sum + n, 0);
  const facts = pairs([
    ["format", String(summary.format)],
    ["size", `${formatSize(summary.bytes)}, ${formatSize(summary.freeBytes)} of it free; tail ${formatSize(summary.tailBytes)}`],
    ["reserve", `${formatSize(summary.reserveBytesLeft)} for cancellations, revocations and deletions on a full disk`],
    [
      "events",
      `${count(events.total)}, ${count(events.removed)} removed by retention; ${events.perSecond.toFixed(1)}/s over the last thousand`,
    ],
    ["oldest", ago(events.oldestAtMs, nowMs)],
    ["newest", ago(events.newestAtMs, nowMs)],
    ["actors", `${count(living)} alive, ${count(known - living)} ended`],
    ["waiting", `${count(summary.pendingEffects)} effects, ${count(summary.timers)} timers, ${count(summary.outbox)} messages`],
    ...(summary.erasures === 0 ? [] : [["deletions", `${summary.erasures} not finished`] as const]),
    ["head", `${head.seq} ${head.link}`],
  ]);
  const columns: readonly Column<JournalSummary["tables"][number]>[] = [
    { title: "table", cell: (row) => row.table },
    { title: "rows", align: "right", cell: (row) => count(row.rows) },
    { title: "size", align: "right", cell: (row) => (row.bytes === null ? "–" : formatSize(row.bytes)) },
  ];
  return `${facts}\n${table(summary.tables, columns)}`;
}

function eventColumns(nowMs: number): readonly Column<InspectedEvent>[] {
  return [
    { title: "seq", align: "right", cell: (event) => String(event.seq) },
    { title: "when", align: "right", cell: (event) => ago(event.atMs, nowMs) },
    { title: "actor", columnsMax: 40, cell: (event) => event.actor },
    { title: "cause", cell: (event) => event.cause },
    { title: "type", columnsMax: 24, cell: (event) => event.type },
    { title: "outcome", cell: (event) => event.outcome },
    { title: "content", cell: (event) => (event.payload === "" ? "(deleted)" : (event.detail ?? event.payload)) },
  ];
}

export function eventsText({ events }: EventPage, nowMs: number, columns: number): string {
  return table(events, eventColumns(nowMs), columns);
}

const effectColumns: readonly Column<InspectedEffect>[] = [
  { title: "id", align: "right", cell: (effect) => String(effect.id) },
  { title: "effect", cell: (effect) => effect.name },
  { title: "state", cell: (effect) => effect.state },
  { title: "owner", columnsMax: 40, cell: (effect) => effect.owner },
  { title: "key", columnsMax: 40, cell: (effect) => effect.key },
  { title: "params", cell: (effect) => effect.params },
];

export function effectsText(effects: readonly InspectedEffect[], columns: number): string {
  return table(effects, effectColumns, columns);
}

export function actorText(actor: InspectedActor, nowMs: number, columns: number): string {
  const { parent, timers, effects } = actor;
  const facts = pairs([
    ["actor", actor.ref],
    ["machine", `${actor.kind}, version ${actor.version}`],
    ["status", actor.incarnation > 1 ? `${actor.status}, incarnation ${actor.incarnation}` : actor.status],
    ["scope", actor.scope],
    ["parent", parent ?? "–"],
    ["events", count(actor.events)],
    ["mail", count(actor.waitingMessages)],
    ["timers", timers.length === 0 ? "–" : timers.map(({ name, atMs }) => `${name} in ${formatDuration(atMs - nowMs)}`).join(", ")],
    ["state", actor.snapshot === "" ? "(deleted)" : actor.snapshot],
  ]);
  return effects.length === 0 ? facts : `${facts}\n${effectsText(effects, columns)}`;
}

const REASONS = {
  changed: "its facts are not those that were written, or a row before it is missing",
  content: "what it says is not what was written",
  missing: "events are missing here",
} as const;

/** `content`: null where nobody could look at it. */
export function verifyText(events: ChainWalk, content: ContentCheck | null): string {
  const chain = `events: ${count(events.events)} checked, ${count(events.erased)} of them deleted and ${count(events.removed)} removed by retention${
    events.unlinked === 0 ? "" : `; ${count(events.unlinked)} of an older format cannot be checked`
  }\nhead: ${events.seq} ${events.link}\n`;
  const rest =
    content === null
      ? "results and transcripts were not looked at: cohortd does that while it runs\n"
      : `content: ${count(content.results)} results and ${count(content.transcripts)} transcripts of ${count(content.runs)} runs${
          content.unhashed === 0 ? "" : `; ${count(content.unhashed)} of an older version cannot be checked`
        }\n`;
  const problems = [
    ...events.problems.map(({ seq, what }) => `event ${seq}: ${REASONS[what]}`),
    ...(content?.problems ?? []).map(
      ({ run, index, attempt, what, reason }) => `${what} of ${run}/${index}, attempt ${attempt}: ${reason}`,
    ),
  ];
  return `${chain}${rest}${problems.length === 0 ? "everything is as it was written\n" : `${problems.map(neutraliseLine).join("\n")}\n`}`;
}
