/**
 * Owns one actor's state while its journaled events are given to its machine again, with the times at which they were applied.
 * Does not own: what the journal says of them (actor-replay.ts compares), and nothing of the live runtime: no effect runs, nothing is sent.
 * 1. An event that throws leaves the state as it was, and ends the incarnation; a spawn or a restart begins one.
 * 2. What an incarnation that is over would hear is a dead letter.
 */
import type { AnyMachineSnapshot } from "xstate";
import type { PreparedDefinition } from "../actor/definition.ts";
import { readOperations, type Operation } from "../actor/operations.ts";
import type { ActorEvent, Json } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { isObject } from "../kernel/json.ts";
import { EARLIER_INCARNATION, MIGRATED, RESTART, type JournaledEvent } from "../kernel/history.ts";

export type Step =
  | { readonly outcome: "applied"; readonly operations: readonly Operation[] }
  | { readonly outcome: "ignored" | "dead" }
  | { readonly outcome: "failed"; readonly message: string };

type Listed = ReturnType<PreparedDefinition["start"]>;

/** Of the present incarnation. stopped: supervision ended it, whatever its machine thought. */
export type ReplayedStatus = "active" | "done" | "failed" | "stopped";

function begins({ cause, type }: JournaledEvent): boolean {
  return cause === "spawn" || (cause === RESTART.cause && type === RESTART.type);
}

export class ReplayedActor {
  readonly definition: PreparedDefinition;
  #snapshot: AnyMachineSnapshot | null = null;
  #status: ReplayedStatus = "active";

  constructor(definition: PreparedDefinition) {
    this.definition = definition;
  }

  get status(): ReplayedStatus {
    return this.#status;
  }

  /** As the journal writes it. */
  get state(): string {
    return this.#snapshot === null ? "null" : this.definition.encode(this.#snapshot);
  }

  give(event: JournaledEvent): Step {
    if (event.cause === MIGRATED.cause) return { outcome: "applied", operations: [] };
    const isBeginning = begins(event);
    if (isBeginning) [this.#status, this.#snapshot] = ["active", null];
    else if (event.cause === RESTART.cause) {
      this.#status = "stopped";
      return { outcome: "applied", operations: [] };
    } else if (this.#status !== "active" || event.detail === EARLIER_INCARNATION) return { outcome: "dead" };
    const payload = JSON.parse(event.payload) as Json;
    try {
      const listed = isBeginning ? this.#start(payload, event.atMs) : this.#take(payload, event.atMs);
      if (listed === null) return { outcome: this.definition.ignores(event.type) ? "ignored" : "dead" };
      const operations = this.#read(listed);
      this.#snapshot = listed.snapshot;
      if (listed.snapshot.status !== "active") this.#status = "done";
      return { outcome: "applied", operations };
    } catch (error) {
      this.#status = "failed";
      return { outcome: "failed", message: error instanceof Error ? error.message : String(error) };
    }
  }

  #start(input: Json, atMs: number): Listed {
    return this.definition.start(isObject(input) && input["at"] === undefined ? { ...input, at: atMs } : input);
  }

  #take(payload: Json, atMs: number): Listed | null {
    if (this.#snapshot === null) throw new CohortError("INTERNAL", { on: "an event before its start" });
    return this.definition.take(this.#snapshot, { ...(payload as ActorEvent), at: atMs });
  }

  #read({ snapshot, actions }: Listed): readonly Operation[] {
    if (Object.keys((snapshot as { readonly children: object }).children).length > 0)
      throw new CohortError("MACHINE_REFUSED", { on: "assign spawned an actor of xstate" });
    if (snapshot.status === "error") throw snapshot.error;
    return readOperations(actions);
  }
}
