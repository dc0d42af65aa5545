/**
 * Owns the map of live actors and the set of refs that ended, so that none is ever used twice.
 * Does not own: snapshots' meaning, rows.
 */
import type { ActorRef } from "../kernel/actions.ts";
import type { Timer } from "../timers/timer-heap.ts";
import type { StoredActor } from "./batch.ts";
import { EndedRefs } from "./ended-refs.ts";

export interface Actor extends StoredActor {
  readonly timers: Map<string, Timer>;
  /** When it threw lately, for the restart intensity. */
  failuresMs: number[];
}

/** One that has not taken its first transition. */
export function newActor(facts: Pick<Actor, "ref" | "definition" | "scope" | "parent" | "input">): Actor {
  return { ...facts, snapshot: null, status: "active", inboxHigh: 0, timers: new Map(), failuresMs: [] };
}

export class Registry {
  readonly #live = new Map<string, Actor>();
  readonly #ended = new EndedRefs();

  get size(): number {
    return this.#live.size;
  }

  get(ref: ActorRef): Actor | undefined {
    return this.#live.get(ref);
  }

  known(ref: ActorRef): boolean {
    return this.#live.has(ref) || this.#ended.has(ref);
  }

  load(hashes: Uint32Array): void {
    this.#ended.load(hashes);
  }

  add(actor: Actor): void {
    this.#live.set(actor.ref, actor);
  }

  end(ref: string): void {
    this.#live.delete(ref);
    this.#ended.add(ref);
  }

  live(): Iterable<Actor> {
    return this.#live.values();
  }
}
