/**
 * A user's actors on one runtime: the doors to them.
 *
 * Owns the runtime until `stop`. The actors are in its journal, and go on when it is opened again.
 */
import type { AnyStateMachine } from "xstate";
import type { z } from "zod";
import type { LogRow, RuntimeOptions } from "../../runtime/contract.ts";
import type { ActorRef, Json } from "../../runtime/kernel/actions.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { ActorHandle, type HandleGround } from "./actor-handle.ts";
import { definitionOf, type ActorKind, type AnswerSchemas, type AnyActorKind, type EventSchema } from "./actor-kind.ts";
import { Answers } from "./answers.ts";
import { checked } from "./checked.ts";
import { effectDefinition, type AnyEffectKind } from "./effect-kind.ts";

type Definitions = Pick<RuntimeOptions, "definitions" | "effects">;

/** What a runtime needs for these actors. */
export function definitionsOf(
  actors: readonly AnyActorKind[],
  effects: readonly AnyEffectKind[],
  journal: string,
): Definitions & { readonly answers: Answers } {
  const answers = new Answers();
  return {
    answers,
    definitions: actors.map(definitionOf),
    effects: [answers.effect, ...effects].map((effect) => effectDefinition(effect, journal)),
  };
}

export class Actors {
  readonly #kinds: ReadonlySet<AnyActorKind>;
  readonly #ground: () => HandleGround;
  readonly #stop: () => Promise<void>;

  /** Use `openActors`. */
  constructor(kinds: readonly AnyActorKind[], ground: () => HandleGround, stop: () => Promise<void>) {
    this.#kinds = new Set(kinds);
    this.#ground = ground;
    this.#stop = stop;
  }

  /**
   * Makes an actor, and resolves when it is durable. One of this kind and id that lives, or ever lived, is left as it is, and `created` is false. `id`: at
   * most 400 characters without white space. Rejects with REQUEST_INVALID (naming the field), INTERNAL where its first transition threw.
   */
  async start<M extends AnyStateMachine, I extends z.ZodType, E extends EventSchema, A extends AnswerSchemas<E>>(
    kind: ActorKind<M, I, E, A>,
    id: string,
    input: z.input<I>,
  ): Promise<ActorHandle<M, E, A>> {
    const ref = this.#ref(kind, id);
    const { runtime, origin, drive } = this.#ground();
    const created = await drive(runtime.spawn(ref, checked(kind.input, input, "input") as Json, { origin }));
    return new ActorHandle(kind, ref, created, this.#ground);
  }

  /** An actor that was started, here or by another actor. */
  of<M extends AnyStateMachine, E extends EventSchema, A extends AnswerSchemas<E>>(
    kind: ActorKind<M, z.ZodType, E, A>,
    id: string,
  ): ActorHandle<M, E, A> {
    return new ActorHandle(kind, this.#ref(kind, id), false, this.#ground);
  }

  /** A row of what machines `project`, or null. */
  get(collection: string, key: string): Promise<Json> {
    const { runtime, drive } = this.#ground();
    return drive(runtime.get(collection, key));
  }

  /** Rows in key order, behind `after`; at most `limit` (default 1000, at most 10,000). */
  list(
    collection: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<readonly { readonly key: string; readonly value: Json }[]> {
    const { runtime, drive } = this.#ground();
    return drive(runtime.list(collection, options));
  }

  /** What machines `append` to a log, from a cursor on (default 0: all), then live, each once and in order, until the signal aborts. */
  follow(log: string, options: { readonly after?: number; readonly signal: AbortSignal }): AsyncIterable<LogRow> {
    return this.#ground().runtime.followLog(log, options.after ?? 0, options.signal);
  }

  /** What was accepted is written; effects that run hear their signal, and are taken up when the journal is opened again. */
  stop(): Promise<void> {
    return this.#stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }

  #ref(kind: Pick<AnyActorKind, "kind">, id: string): ActorRef {
    for (const known of this.#kinds) if (known === kind) return `${kind.kind}:${id}`;
    throw new CohortError("REQUEST_INVALID", { on: `kind ${kind.kind} is not among the actors that were opened` });
  }
}
