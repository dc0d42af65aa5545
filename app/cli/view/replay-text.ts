/** Pure: what a replay found, as a page: a table of kinds, whatever departs, and one last line with the verdict. */
import type { ActorReplayed, Change, Divergence, Verdict } from "../../../sdk/index.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { table, type Column } from "../text/table.ts";
import { truncate } from "../text/width.ts";
import type { KindTally, Tally } from "../replay/tally.ts";
import type { Style } from "./style.ts";

const KINDS = ["run", "relay", "child", "grant", "approval"];
const CHANGES_SHOWN_MAX = 12;
const VALUE_COLUMNS_MAX = 60;
const HASH_SHOWN_CHARS = 12;

const WORDS: Readonly<Record<Verdict["type"], string>> = {
  same: "same",
  migrated: "same after migration",
  "other-version": "replayed with another version",
  departs: "departs",
  deleted: "ends at its tombstone",
  cut: "beginning is gone",
  "unknown-kind": "no machine of this kind",
};

export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function verdictsOf({ verdicts, actors }: KindTally): string {
  const [only] = verdicts.keys();
  if (verdicts.size === 1 && only !== undefined) return actors === 1 || only === "same" ? WORDS[only] : `all: ${WORDS[only]}`;
  return [...verdicts].map(([type, times]) => `${times} ${WORDS[type]}`).join(", ");
}

const columns: readonly Column<KindTally>[] = [
  { title: "kind", cell: ({ kind }) => kind },
  { title: "actors", align: "right", cell: ({ actors }) => String(actors) },
  { title: "events", align: "right", cell: ({ events }) => String(events) },
  { title: "states", align: "right", cell: ({ states }) => String(states) },
  { title: "replay", cell: verdictsOf },
];

const asked: Column<KindTally> = {
  title: "what if",
  cell: (tally) => (tally.asked === 0 ? "–" : tally.departures === 0 ? "goes the same way" : `${tally.departures} would depart`),
};

export function kindsTable({ kinds }: Tally, whatIf: boolean, width: number): string {
  const place = (kind: string): number => (KINDS.includes(kind) ? KINDS.indexOf(kind) : KINDS.length);
  const rows = [...kinds.values()].toSorted((one, other) => place(one.kind) - place(other.kind) || one.kind.localeCompare(other.kind));
  return table(rows, whatIf ? [...columns, asked] : columns, width);
}

/** UTC: whoever reads a journal may live elsewhere than who wrote it. */
export function timeText(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 23);
}

function valueText(value: Change["before"]): string {
  return value === undefined ? "–" : truncate(neutraliseLine(JSON.stringify(value)), VALUE_COLUMNS_MAX);
}

/** Paths in a column, then both values. */
export function changeLines(changes: readonly Change[], indent: string): readonly string[] {
  const shown = changes.slice(0, CHANGES_SHOWN_MAX);
  const width = shown.reduce((widest, { path }) => Math.max(widest, path.length), 0);
  const lines = shown.map(
    ({ path, before, after }) => `${indent}${neutraliseLine(path).padEnd(width)}  ${valueText(before)} → ${valueText(after)}`,
  );
  return changes.length > shown.length ? [...lines, `${indent}and ${changes.length - shown.length} more`] : lines;
}

const DIFFERS: Readonly<Record<Divergence["what"], string>> = {
  outcome: "the journal has another outcome",
  state: "the journal has another state after it",
  end: "after it, its last event, the journal has another end",
};

function shortHash({ what }: Divergence, text: string): string {
  return what === "state" ? `state ${text.slice(0, HASH_SHOWN_CHARS)}…` : what === "end" && text.length === 32 ? "another state" : text;
}

function divergenceLines(actor: string, divergence: Divergence, style: Style): readonly string[] {
  const { seq, event, atMs, expected, actual, detail, state, changes, what } = divergence;
  const head = `${style.red("✗")} ${style.bold(neutraliseLine(actor))} departs at event ${seq}, ${neutraliseLine(event)}, ${timeText(atMs)}: ${DIFFERS[what]}`;
  const why = detail === null ? "" : `: ${neutraliseLine(detail)}`;
  return [
    head,
    `    journal   ${shortHash(divergence, expected)}`,
    `    replayed  ${shortHash(divergence, actual)}${why}, now ${valueText(valueOf(state))}`,
    ...(changes.length === 0 ? [] : ["    at its end, from the journal's state to the replayed one:", ...changeLines(changes, "      ")]),
  ];
}

function valueOf(state: Divergence["state"]): Change["before"] {
  return typeof state === "object" && state !== null && "value" in state ? state.value : state;
}

export function verdictLines({ actor, verdict }: ActorReplayed, style: Style): readonly string[] {
  if (verdict.type === "departs") return divergenceLines(actor, verdict.divergence, style);
  const why =
    verdict.type === "other-version" ? `the journal's version is ${verdict.version}; nothing could be compared (${verdict.reason})` : "";
  return [
    `${style.yellow("!")} ${style.bold(neutraliseLine(actor))}: ${WORDS[verdict.type]}${why === "" ? "" : `: ${neutraliseLine(why)}`}`,
  ];
}

function aside(tally: Tally): string {
  const parts = (["migrated", "deleted"] as const)
    .map((type) => [type, tally.verdicts(type)] as const)
    .filter(([, times]) => times > 0)
    .map(([type, times]) => `${count(times, "actor")} ${WORDS[type]}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

/** The last line. */
export function summaryLine(tally: Tally, style: Style): string {
  const actors = tally.sum((kind) => kind.actors);
  const all = `${count(actors, "actor")}, ${count(
    tally.sum((kind) => kind.events),
    "event",
  )}, ${count(
    tally.sum((kind) => kind.states),
    "state",
  )}`;
  const departs = tally.verdicts("departs");
  if (departs > 0) return `${style.red("✗ departs")}: ${departs} of ${count(actors, "actor")} go another way than the journal tells`;
  if (tally.verdicts("deleted") === actors)
    return `${style.yellow("! deleted")}: its events were deleted, so the replay ends at their tombstones; nothing is left to compare`;
  if (!tally.proven) return `${style.yellow("! not proven")}: ${all}; nothing departs, but not everything could be compared`;
  return `${style.green("✓ the same")}: ${all} compared with the journal${aside(tally)}`;
}
