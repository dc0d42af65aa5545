/** Which states and events of the production machines a simulation reached, read from what is committed. */
import type { BatchRows } from "../../runtime/journal/batch-rows.ts";
import { ROW_WIDTHS } from "../../runtime/journal/batch-rows.ts";
import { cohortDefinitions } from "../../machines/definitions.ts";
import type { Trace } from "./machine/trace.ts";

/** Places of cells in a row of an event. */
const EVENT_ACTOR = 2;
const EVENT_TYPE = 6;
const EVENT_OUTCOME = 8;
const STATE = /^\{"value":"([A-Za-z]+)"/;

interface StateNode {
  readonly key: string;
  readonly always?: readonly unknown[] | undefined;
  readonly states: Readonly<Record<string, StateNode>>;
}

function kindOf(ref: unknown): string {
  return String(ref).split(":")[0] ?? "";
}

export function countCovered(batch: BatchRows, trace: Trace): void {
  const { actors = [], actorStates = [], events = [] } = batch.tables;
  for (let start = 0; start < actors.length; start += ROW_WIDTHS.actors)
    countState(actors[start], actors[start + ROW_WIDTHS.actors - 1], trace);
  for (let start = 0; start < actorStates.length; start += ROW_WIDTHS.actorStates)
    countState(actorStates[start + ROW_WIDTHS.actorStates - 1], actorStates[start + ROW_WIDTHS.actorStates - 2], trace);
  for (let start = 0; start < events.length; start += ROW_WIDTHS.events) {
    if (events[start + EVENT_OUTCOME] !== "applied") continue;
    const type = String(events[start + EVENT_TYPE]);
    trace.count(`event ${kindOf(events[start + EVENT_ACTOR])}.${type}`);
  }
}

function countState(ref: unknown, snapshot: unknown, trace: Trace): void {
  const state = STATE.exec(String(snapshot))?.[1];
  if (state !== undefined) trace.count(`state ${kindOf(ref)}.${state}`);
}

/** What there is to reach: states in which a machine can rest, and events that some state takes. */
function reachable(): readonly string[] {
  const found: string[] = [];
  for (const { kind, machine } of cohortDefinitions) {
    const states = machine.states as unknown as Readonly<Record<string, StateNode>>;
    for (const [name, node] of Object.entries(states)) {
      const passes = node.always?.some(
        (transition) => !("guard" in (transition as object)) || (transition as { guard?: unknown }).guard === undefined,
      );
      if (passes !== true) found.push(`state ${kind}.${name}`);
    }
    for (const event of machine.events as readonly string[]) found.push(`event ${kind}.${event}`);
  }
  return found;
}

/** Raised by the machine itself: no event of the journal. */
const RAISED: ReadonlySet<string> = new Set();

export function unreached(counts: Readonly<Record<string, number>>): readonly string[] {
  return reachable().filter((name) => !RAISED.has(name) && (counts[name] ?? 0) === 0);
}
