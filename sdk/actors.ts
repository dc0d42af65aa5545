/**
 * Durable actors in your own process: xstate machines whose state survives `kill -9`, on the runtime that cohortd uses, in a journal of your own.
 *
 * ```ts
 * import { actions, defineActor, openActors, type Heard } from "cohort/actors";
 * ```
 *
 * docs/sdk.md has a whole one. Times are milliseconds; every error is a CohortError. Use xstate 5 and zod 4.
 */
export { runtimeActions as actions } from "../runtime/kernel/actions.ts";
export type { ActorEvent, ActorRef, EffectParams, Json } from "../runtime/kernel/actions.ts";
export { CohortError, isCohortError } from "../runtime/kernel/error.ts";
export {
  defineActor,
  type ActorKind,
  type ActorState,
  type FromOutside,
  type Given,
  type Heard,
  type RuntimeEvent,
} from "./actors/actor-kind.ts";
export { defineEffect, type EffectKind, type EffectScene, type PlannedEffect } from "./actors/effect-kind.ts";
export { answer } from "./actors/answers.ts";
export { Actors } from "./actors/actors.ts";
export { ActorHandle, type WaitOptions } from "./actors/actor-handle.ts";
export { openActors, type OpenActorsOptions } from "./actors/open-actors.ts";
export { cancelTask, confinedTasks, runTask, type TaskFinished } from "./actors/confined-tasks.ts";
