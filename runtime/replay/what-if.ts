/**
 * Owns an actor under a changed machine, beside the same actor under the present one, up to the first event after which they differ.
 * What follows such an event was caused by the machine that was there: nothing is said of it.
 */
import type { PreparedDefinition } from "../actor/definition.ts";
import type { Json } from "../kernel/actions.ts";
import { stateHash } from "../kernel/state-hash.ts";
import type { JournaledEvent } from "../kernel/history.ts";
import { ReplayedActor, type Step } from "./replayed-actor.ts";
import { changesBetween, type Change } from "./snapshot-diff.ts";

export interface Side {
  readonly outcome: Step["outcome"];
  /** What it threw. */
  readonly message: string | null;
  readonly state: Json;
  /** What it asked the host for, in order; each has a `type` and its parameters. */
  readonly actions: readonly { readonly [field: string]: Json | undefined }[];
}

export interface Departure {
  readonly seq: number;
  readonly atMs: number;
  readonly event: string;
  readonly payload: Json;
  readonly present: Side;
  readonly changed: Side;
  /** From the present state to the changed one. */
  readonly changes: readonly Change[];
}

function sideOf(step: Step, state: string): Side {
  const operations = step.outcome === "applied" ? step.operations : [];
  return {
    outcome: step.outcome,
    message: step.outcome === "failed" ? step.message : null,
    state: JSON.parse(state) as Json,
    // The text is the JSON of what stands beside it.
    actions: operations.map((operation) => JSON.parse(JSON.stringify({ ...operation, text: undefined })) as Side["actions"][number]),
  };
}

function isEqual(one: unknown, other: unknown): boolean {
  const [left, right] = [JSON.stringify(one), JSON.stringify(other)];
  return left === right || stateHash(left) === stateHash(right);
}

export class WhatIf {
  readonly #changed: ReplayedActor;
  #departure: Departure | null = null;

  constructor(changed: PreparedDefinition) {
    this.#changed = new ReplayedActor(changed);
  }

  get departure(): Departure | null {
    return this.#departure;
  }

  /** The event, what the present machine made of it, and the state that it is in. */
  give(event: JournaledEvent, step: Step, state: string): void {
    if (this.#departure !== null) return;
    const present = sideOf(step, state);
    const changedStep = this.#changed.give(event);
    const changed = sideOf(changedStep, this.#changed.state);
    if (isEqual({ ...present, message: null }, { ...changed, message: null })) return;
    const { seq, atMs, type } = event;
    const payload = JSON.parse(event.payload) as Json;
    this.#departure = { seq, atMs, event: type, payload, present, changed, changes: changesBetween(present.state, changed.state) };
  }
}
