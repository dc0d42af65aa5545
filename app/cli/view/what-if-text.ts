/** Pure: where a changed machine departs: the event, both states, and what each would have done. */
import { diffArrays } from "diff";
import type { ActorReplayed, Departure, Side } from "../../../sdk/index.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { truncate } from "../text/width.ts";
import type { Tally } from "../replay/tally.ts";
import { changeLines, count, timeText } from "./replay-text.ts";
import type { Style } from "./style.ts";

type Action = Side["actions"][number];

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value ?? null);
}

/** What it is, in a few words, then all of the rest. */
function actionText(action: Action): string {
  const { type, to, event, name, key, params, atMs, ref, input, scope, collection, value, log } = action;
  switch (text(type)) {
    case "send":
      return `send ${text(to)} ${text(event)}`;
    case "effect":
      return `effect ${text(name)} ${text(key)} ${text(params)}`;
    case "startTimer":
      return `startTimer ${text(name)} ${typeof atMs === "number" ? timeText(atMs) : text(atMs)}`;
    case "stopTimer":
      return `stopTimer ${text(name)}`;
    case "spawn":
      return `spawn ${text(ref)} ${text(input)}${scope === undefined ? "" : ` in ${text(scope)}`}`;
    case "project":
      return `project ${text(collection)} ${text(key)} ${text(value)}`;
    case "append":
      return `append ${text(log)} ${text(value)}`;
    default:
      return text(action);
  }
}

function sideText({ outcome, message }: Side): string {
  return message === null ? outcome : `${outcome}: ${neutraliseLine(message)}`;
}

function actionLines({ present, changed }: Departure, width: number, style: Style): readonly string[] {
  const parts = diffArrays(present.actions.map(actionText), changed.actions.map(actionText));
  return parts.flatMap(({ value, added, removed }) =>
    value.map((line) => {
      const shown = truncate(neutraliseLine(line), width - 8);
      return added ? style.green(`      + ${shown}`) : removed ? style.red(`      - ${shown}`) : style.dim(`        ${shown}`);
    }),
  );
}

/** `width`: of the terminal; actions are cut there. */
export function departureLines({ actor, departure }: ActorReplayed, width: number, style: Style): readonly string[] {
  if (departure === undefined || departure === null) return [];
  const { seq, event, atMs, payload, present, changed, changes } = departure;
  const actions = actionLines(departure, width, style);
  const outcomes =
    present.outcome === changed.outcome ? [] : [`    outcome, now → changed`, `      ${sideText(present)} → ${sideText(changed)}`];
  return [
    `${style.yellow("✗")} ${style.bold(neutraliseLine(actor))} would depart at event ${seq}, ${neutraliseLine(event)}, ${timeText(atMs)}`,
    style.dim(truncate(`    ${neutraliseLine(JSON.stringify(payload))}`, width)),
    ...outcomes,
    ...(changes.length === 0 ? ["    state: the same"] : ["    state, now → changed", ...changeLines(changes, "      ")]),
    ...(actions.length === 0 ? ["    no actions"] : ["    actions, - now, + changed", ...actions]),
  ];
}

export function whatIfLine(tally: Tally, kinds: readonly string[], style: Style): string {
  const asked = tally.sum((kind) => kind.asked);
  const departures = tally.sum((kind) => kind.departures);
  const what = `what if ${kinds.join(" and ")} were changed`;
  if (asked === 0) return `${style.yellow("!")} ${what}: the run has no such actor`;
  if (departures === 0) return `${style.green("✓")} ${what}: ${count(asked, "actor")} would go the same way, with the same actions`;
  return `${style.yellow("✗")} ${what}: ${departures} of ${count(asked, "actor")} would depart; what follows a departure would be another history`;
}
