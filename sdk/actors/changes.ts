/**
 * Who waits for a change of which actor.
 *
 * Owns the waiting. A commit wakes those whose actor is in it; they read what they need from the journal, so nothing is kept here.
 */
import type { BatchRows } from "../../runtime/journal/batch-rows.ts";
import type { ActorRef } from "../../runtime/kernel/actions.ts";

export class Changes {
  readonly #waiting = new Map<ActorRef, Set<() => void>>();
  #end: Error | null = null;

  /** After the commit. */
  committed({ tables: { events = [], actors = [], actorStates = [] } }: BatchRows): void {
    if (this.#waiting.size === 0) return;
    // Whatever cell it stands in: to be woken for nothing costs a read, and is no error.
    const told = new Set([events, actors, actorStates].flat());
    for (const [ref, wakes] of this.#waiting) if (told.has(ref)) for (const wake of wakes) wake();
  }

  /** Calls `wake` after each commit that has this actor, and at the end of everything, until what it answers is called. */
  watch(ref: ActorRef, wake: () => void): () => void {
    const wakes = this.#waiting.get(ref) ?? new Set();
    this.#waiting.set(ref, wakes);
    wakes.add(wake);
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0) this.#waiting.delete(ref);
    };
  }

  /** Nothing will change any more. */
  end(reason: Error): void {
    this.#end ??= reason;
    for (const wakes of this.#waiting.values()) for (const wake of wakes) wake();
  }

  throwIfEnded(): void {
    if (this.#end !== null) throw this.#end;
  }
}
