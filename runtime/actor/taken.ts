/** What a transition gave, read and checked: the new snapshot, and the operations that the host is to do. Pure. */
import type { AnyMachineSnapshot } from "xstate";
import type { Json } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { isObject } from "../kernel/json.ts";
import type { ListedAction } from "./definition.ts";
import { readOperations, type Operation } from "./operations.ts";

export interface Taken {
  readonly snapshot: AnyMachineSnapshot;
  readonly operations: readonly Operation[];
}

/** Throws what the transition itself could not. */
export function readTaken({
  snapshot,
  actions,
}: {
  readonly snapshot: AnyMachineSnapshot;
  readonly actions: readonly ListedAction[];
}): Taken {
  for (const _ in (snapshot as { readonly children: object }).children)
    throw new CohortError("MACHINE_REFUSED", { on: "assign spawned an actor of xstate" });
  if (snapshot.status === "error") throw snapshot.error;
  return { snapshot, operations: readOperations(actions) };
}

/** A machine's first transition needs the time as well as any other. */
export function withTime(input: Json, atMs: number): Json {
  return isObject(input) && input["at"] === undefined ? { ...input, at: atMs } : input;
}

export function messageOfThrown(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000);
}
