/** The named actions that a machine may use. xstate treats them as data; the host gives them their meaning, after the commit. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** `<kind>:<id>`. The kind names a registered definition. */
export type ActorRef = `${string}:${string}`;

/** What an actor receives. The host adds `at` (milliseconds since the epoch), so that machines need no clock. */
export interface ActorEvent {
  readonly type: string;
  readonly [field: string]: Json | undefined;
}

/** Deliver an event to another actor: at least once on the wire, applied once. */
export interface SendParams {
  readonly to: ActorRef;
  readonly event: ActorEvent;
}

/** Run a registered effect after the commit. `key` is its idempotency key, unique for ever within the journal. */
export interface EffectParams {
  readonly name: string;
  readonly key: string;
  readonly params: Json;
}

/** At `atMs` the actor receives `{ type: "timer", name }`. Setting a name again moves it. Names that begin with `runtime.` are the host's. */
export interface StartTimerParams {
  readonly name: string;
  readonly atMs: number;
}

export interface StopTimerParams {
  readonly name: string;
}

/**
 * Create an actor, in the scope of its creator unless one is named. Spawning a ref that exists (or ended) is no error and changes nothing, unless it is a
 * child that was stopped with an earlier incarnation of its creator: that begins anew. The host adds `at` to an input that is an object.
 */
export interface SpawnParams {
  readonly ref: ActorRef;
  readonly input: Json;
  readonly scope?: string;
  /** In place of its definition's. */
  readonly restart?: "permanent" | "transient" | "temporary";
  /** Of its scope: the earliest that anyone named counts, and that of an outer scope before it. */
  readonly deadlineAtMs?: number;
}

/** Upsert (or, with null, delete) a row that queries see once it is committed. */
export interface ProjectParams {
  readonly collection: string;
  readonly key: string;
  readonly value: Json;
}

/** Append to a log: rows get cursors 1, 2, 3 … without gaps; subscribers see them after the commit. */
export interface AppendParams {
  readonly log: string;
  readonly value: Json;
}

/** Spread into `setup({ actions })` of a machine: the parameters are typed, the bodies are empty by design. */
export const runtimeActions = {
  send: (_: unknown, _params: SendParams): void => {},
  effect: (_: unknown, _params: EffectParams): void => {},
  startTimer: (_: unknown, _params: StartTimerParams): void => {},
  stopTimer: (_: unknown, _params: StopTimerParams): void => {},
  spawn: (_: unknown, _params: SpawnParams): void => {},
  project: (_: unknown, _params: ProjectParams): void => {},
  append: (_: unknown, _params: AppendParams): void => {},
};

export type RuntimeActionName = keyof typeof runtimeActions;
