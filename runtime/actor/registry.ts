/**
 * Owns the map of actors that have not ended, and which refs were used up, so that none is ever used twice.
 * Does not own: snapshots' meaning, rows.
 */
import type { ExitReason } from "../contract.ts";
import type { ActorRef } from "../kernel/actions.ts";
import type { Timer } from "../timers/timer-heap.ts";
import type { StoredActor } from "./batch.ts";
import { EndedRefs } from "./ended-refs.ts";

export interface Actor extends StoredActor {
  readonly timers: Map<string, Timer>;
  /** In the order they were spawned; only of one that supervises. */
  readonly children: Set<Actor> | null;
  /** Why its last incarnation was over, while its supervisor makes up its mind. */
  exit: ExitReason | null;
}

type Facts = Pick<Actor, "ref" | "definition" | "scope" | "parent" | "input" | "restart">;

/** One that has not begun its first incarnation. */
export function newActor(facts: Facts): Actor {
  return {
    ...facts,
    spawnSeq: 0,
    incarnation: 0,
    startedSeq: 0,
    snapshot: null,
    status: "active",
    inboxHigh: 0,
    controlHigh: 0,
    restartsMs: [],
    stored: false,
    timers: new Map(),
    children: facts.definition.supervises === null ? null : new Set(),
    exit: null,
  };
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
