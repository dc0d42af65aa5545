/**
 * Gives one actor's journaled events to its machine again, and says whether it goes the way that the journal tells: the outcome of each event, the state
 * wherever the journal has its hash, and the end. Pure: the same rows and definitions give the same verdict.
 * 1. The first difference counts; what comes behind it follows from it.
 * 2. Of an actor that a later build took up, states are compared from its migration on; before it they are those of another version.
 * 3. A verdict never says more than was compared: another version of the machine, events that were deleted, and a start that is gone have names of their own.
 */
import type { PreparedDefinition } from "../actor/definition.ts";
import type { Json } from "../kernel/actions.ts";
import { isCohortError } from "../kernel/error.ts";
import { stateHash } from "../kernel/state-hash.ts";
import { MIGRATED, TOMBSTONE, type JournaledActor, type JournaledEvent } from "../kernel/history.ts";
import { ReplayedActor, type ReplayedStatus, type Step } from "./replayed-actor.ts";
import { changesBetween, type Change } from "./snapshot-diff.ts";
import { WhatIf, type Departure } from "./what-if.ts";

export interface Divergence {
  /** What differs: what became of the event, the state after it, or how the actor ended after all events. */
  readonly what: "outcome" | "state" | "end";
  readonly seq: number;
  readonly atMs: number;
  readonly event: string;
  /** Of the journal: an outcome, the hash of a state, or a status. */
  readonly expected: string;
  readonly actual: string;
  /** Why an event failed, in the journal or now. */
  readonly detail: string | null;
  /** After this event, in the replay. */
  readonly state: Json;
  /** From the journal's last state of the actor to the replay's. */
  readonly changes: readonly Change[];
}

export type Verdict =
  /** Every outcome, every state that the journal knows the hash of, and the end. */
  | { readonly type: "same" }
  /** Written by another version, at its end or up to when a later build took it up: migrated, its state was the replay's there, and from there on. */
  | { readonly type: "migrated"; readonly version: number }
  /** Written by a version from which no migration leads to this one: it was replayed, and can be compared with nothing. */
  | { readonly type: "other-version"; readonly version: number; readonly reason: string }
  | { readonly type: "departs"; readonly divergence: Divergence }
  /** The same up to where its events were deleted: null where no event is left of it, not even deleted ones. */
  | { readonly type: "deleted"; readonly seq: number | null }
  /** Its first events are gone, so there is nothing to begin with. */
  | { readonly type: "cut" }
  | { readonly type: "unknown-kind" };

export interface ActorReplayed {
  readonly actor: string;
  readonly kind: string;
  /** Given to the machine. */
  readonly events: number;
  /** Hashes compared, and the last state. */
  readonly states: number;
  readonly verdict: Verdict;
  /** Of a changed machine: null where it goes the same way; absent where none was asked about. */
  readonly departure?: Departure | null;
}

export interface ReplayDefinitions {
  readonly present: ReadonlyMap<string, PreparedDefinition>;
  /** By kind: machines to compare with the present ones. */
  readonly changed: ReadonlyMap<string, PreparedDefinition>;
}

type First = Omit<Divergence, "changes">;

export class ActorReplay {
  readonly #actor: string;
  readonly #kind: string;
  #sameVersion: boolean;
  #migratedFrom: number | null = null;
  readonly #replayed: ReplayedActor | null;
  readonly #whatIf: WhatIf | null;
  #events = 0;
  #states = 0;
  #first: First | null = null;
  #last: JournaledEvent | null = null;
  #over: Verdict | null = null;

  constructor(row: JournaledActor, { present, changed }: ReplayDefinitions) {
    this.#actor = row.ref;
    this.#kind = row.ref.slice(0, row.ref.indexOf(":"));
    const definition = present.get(this.#kind);
    const other = changed.get(this.#kind);
    this.#sameVersion = row.version === definition?.version;
    this.#replayed = definition === undefined ? null : new ReplayedActor(definition);
    this.#whatIf = other === undefined ? null : new WhatIf(other);
    if (definition === undefined) this.#over = { type: "unknown-kind" };
  }

  give(event: JournaledEvent): void {
    if (this.#over !== null || this.#replayed === null) return;
    if (event.cause === TOMBSTONE.cause && event.type === TOMBSTONE.type) this.#over = { type: "deleted", seq: event.seq };
    else if (this.#last === null && event.cause !== "spawn") this.#over = { type: "cut" };
    else this.#apply(event, this.#replayed);
  }

  #apply(event: JournaledEvent, replayed: ReplayedActor): void {
    const step = replayed.give(event);
    this.#last = event;
    this.#events++;
    if (event.cause === MIGRATED.cause) this.#begin(JSON.parse(event.payload) as { readonly from: number; readonly to: number }, replayed);
    this.#whatIf?.give(event, step, replayed.state);
    if (this.#first !== null) return;
    if (step.outcome !== event.outcome) this.#differs("outcome", event, event.outcome, step.outcome, detailOf(step) ?? event.detail);
    if (event.stateHash === null || !this.#sameVersion) return;
    this.#states++;
    const hash = stateHash(replayed.state);
    if (hash !== event.stateHash) this.#differs("state", event, event.stateHash, hash, detailOf(step));
  }

  /** What was compared up to here were states of another version. */
  #begin({ from, to }: { readonly from: number; readonly to: number }, { definition }: ReplayedActor): void {
    [this.#first, this.#states] = [null, 0];
    this.#sameVersion = to === definition.version;
    this.#migratedFrom = from;
  }

  #differs(what: First["what"], { seq, atMs, type }: JournaledEvent, expected: string, actual: string, detail: string | null): void {
    const state = JSON.parse(this.#replayed?.state ?? "null") as Json;
    this.#first ??= { what, seq, atMs, event: type, expected, actual, detail, state };
  }

  /** `row`: as it stands after the last event that was given. */
  end(row: JournaledActor): ActorReplayed {
    const verdict = this.#verdict(row);
    return {
      actor: this.#actor,
      kind: this.#kind,
      events: this.#events,
      states: this.#states,
      verdict,
      ...(this.#whatIf === null ? {} : { departure: this.#whatIf.departure }),
    };
  }

  #verdict(row: JournaledActor): Verdict {
    const [replayed, last] = [this.#replayed, this.#last];
    if (this.#over !== null && (this.#over.type !== "deleted" || this.#first === null || !this.#sameVersion)) return this.#over;
    if (row.snapshot === "" && last === null) return { type: "deleted", seq: null };
    if (replayed === null || last === null) return { type: "cut" };
    if (this.#over !== null) return departs(this.#first, []);
    const { version } = row;
    // Of another version only the end can be told from the journal's.
    const known = this.#sameVersion ? row.snapshot : migrated(row, replayed.definition);
    if (typeof known !== "string") return { type: "other-version", version, reason: known.reason };
    this.#states++;
    const [expected, actual] = [stateHash(known), stateHash(replayed.state)];
    if (expected !== actual) this.#differs("end", last, expected, actual, null);
    else if (!endsAlike(row.status, replayed.status)) this.#differs("end", last, row.status, replayed.status, null);
    else if (!this.#sameVersion) return { type: "migrated", version };
    else if (this.#first === null && this.#migratedFrom !== null) return { type: "migrated", version: this.#migratedFrom };
    return departs(this.#first, changesBetween(JSON.parse(known) as Json, JSON.parse(replayed.state) as Json));
  }
}

/** What supervision made of an end (cancelled, escalated, waiting for a restart) is not the machine's to say. */
function endsAlike(row: string, replayed: ReplayedStatus): boolean {
  if (row === "active" || replayed === "active") return row === replayed;
  return row !== "done" || replayed === "done";
}

function departs(first: First | null, changes: readonly Change[]): Verdict {
  return first === null ? { type: "same" } : { type: "departs", divergence: { ...first, changes } };
}

function detailOf(step: Step): string | null {
  return step.outcome === "failed" ? step.message : null;
}

/** Its last state in the present version, or why no migration leads there. */
function migrated(row: JournaledActor, definition: PreparedDefinition): string | { readonly reason: string } {
  if (row.snapshot === "null") return row.snapshot;
  try {
    return definition.encode(definition.restore(row, JSON.parse(row.snapshot) as Json));
  } catch (error) {
    if (!isCohortError(error, "JOURNAL_VERSION")) throw error;
    return { reason: error.message };
  }
}

/** All of an actor at once. */
export function replayActor(row: JournaledActor, events: Iterable<JournaledEvent>, definitions: ReplayDefinitions): ActorReplayed {
  const replay = new ActorReplay(row, definitions);
  for (const event of events) replay.give(event);
  return replay.end(row);
}
