/**
 * One actor, as the program around it sees it.
 *
 * Owns nothing: the actor lives in the journal, under its name. A handle of an actor that never was is no error before its first use.
 */
import { randomUUID } from "node:crypto";
import type { AnyStateMachine } from "xstate";
import type { z } from "zod";
import type { Origin, Runtime } from "../../runtime/contract.ts";
import type { ActorRef, Json } from "../../runtime/kernel/actions.ts";
import type { Cancel, Environment } from "../../runtime/kernel/environment.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import type { ActorKind, ActorState, AnswerSchemas, EventSchema } from "./actor-kind.ts";
import type { Answers } from "./answers.ts";
import type { Changes } from "./changes.ts";
import { checked } from "./checked.ts";

export interface WaitOptions {
  /** In ms; then DEADLINE. Default 30,000. */
  readonly timeoutMs?: number;
  /** Abort ends the waiting with CANCELLED, and nothing else. */
  readonly signal?: AbortSignal;
}

/** What handles need of their system. */
export interface HandleGround {
  readonly runtime: Runtime;
  readonly environment: Environment;
  readonly answers: Answers;
  readonly changes: Changes;
  readonly origin: Origin;
  /** Lets the world go on until this settles; simulated time does not pass by itself. */
  readonly drive: <T>(promise: Promise<T>) => Promise<T>;
}

const WAIT_MS = 30_000;

type Asked<E extends EventSchema, A> = Extract<z.input<E>, { readonly type: keyof A & string }>;
type Answer<A, T> = T extends keyof A ? (A[T] extends z.ZodType ? z.output<A[T]> : never) : never;

function isEnd(status: ActorState<AnyStateMachine>["status"]): boolean {
  return status !== "active" && status !== "restarting";
}

export class ActorHandle<M extends AnyStateMachine, E extends EventSchema, A extends AnswerSchemas<E>> {
  readonly ref: ActorRef;
  /** Whether `start` made it; false for one that was there, and for handles from `of`. */
  readonly created: boolean;
  readonly #kind: ActorKind<M, z.ZodType, E, A>;
  readonly #ground: () => HandleGround;

  /** Use `start` or `of` of class Actors. */
  constructor(kind: ActorKind<M, z.ZodType, E, A>, ref: ActorRef, created: boolean, ground: () => HandleGround) {
    this.#kind = kind;
    this.ref = ref;
    this.created = created;
    this.#ground = ground;
  }

  /**
   * Resolves when the event is taken and durable. Rejects with REQUEST_INVALID (naming the field), DEAD_LETTER where the actor's state does not take it,
   * ACTOR_UNKNOWN where it never was or has ended, INTERNAL where the machine threw, JOURNAL_FULL.
   */
  async send(event: z.input<E>): Promise<void> {
    await this.#post(event, randomUUID());
  }

  /** Sends an event, and resolves with what the machine answers to it (see `answer`), after that is durable. Rejects as `send` does, and with DEADLINE. */
  async ask<T extends Asked<E, A>>(event: T, options: WaitOptions = {}): Promise<Answer<A, T["type"]>> {
    const askId = randomUUID();
    const { answered, stop } = this.#ground().answers.wait(askId);
    try {
      await this.#post(event, askId);
      const value = await this.#within(answered, `the answer of ${this.ref} to ${event.type}`, options);
      const schema = (this.#kind.answers as Readonly<Record<string, z.ZodType | undefined>> | undefined)?.[event.type];
      if (schema === undefined) throw new CohortError("REQUEST_INVALID", { on: `${this.#kind.kind} has no answers to ${event.type}` });
      return checked(schema, value, "answer") as Answer<A, T["type"]>;
    } finally {
      stop();
    }
  }

  /** Its state, as the journal has it; of an ended actor its last one. Null: there never was one. */
  async query(): Promise<ActorState<M> | null> {
    const { runtime, drive } = this.#ground();
    const { parts } = await drive(runtime.history(this.ref, { actor: this.ref, seq: Number.MAX_SAFE_INTEGER }, 1));
    const actor = parts[0]?.actor;
    if (actor === undefined || actor.ref !== this.ref) return null;
    const snapshot = JSON.parse(actor.snapshot) as Pick<ActorState<M>, "value" | "context"> | null;
    const { value, context } = snapshot ?? { value: null, context: null };
    const status = actor.status === "stopped" ? "restarting" : actor.status;
    return { ref: this.ref, value, context, status } as ActorState<M>;
  }

  /** Resolves with the first committed state that `wanted` takes, the present one included; short-lived ones in between may be missed. */
  async until(wanted: (state: ActorState<M>) => boolean, options: WaitOptions = {}): Promise<ActorState<M>> {
    const { changes } = this.#ground();
    const waiting = { isOver: false, changed: false, wake: (): void => undefined };
    const unwatch = changes.watch(this.ref, () => {
      waiting.changed = true;
      waiting.wake();
    });
    const found = async (): Promise<ActorState<M>> => {
      while (!waiting.isOver) {
        waiting.changed = false;
        changes.throwIfEnded();
        const state = await this.query();
        if (state !== null && wanted(state)) return state;
        if (state !== null && isEnd(state.status))
          throw new CohortError("ACTOR_UNKNOWN", { on: `${this.ref} ended as ${state.status}, in ${JSON.stringify(state.value)}` });
        if (!waiting.changed) await new Promise<void>((resolve) => (waiting.wake = resolve));
      }
      throw new CohortError("CANCELLED", { on: this.ref });
    };
    try {
      return await this.#within(found(), `a state of ${this.ref}`, options);
    } finally {
      unwatch();
      waiting.isOver = true;
      waiting.wake();
    }
  }

  /** Resolves with its last state once it has ended. Look at `status`: a failure is an end too. */
  ended(options: WaitOptions = {}): Promise<ActorState<M>> {
    return this.until(({ status }) => isEnd(status), options);
  }

  /**
   * Sends `{ type: "cancel", mode, reason }` to the actor and to all that it spawned in its scope, also to those that it spawns later. Resolves when that is
   * durable; what its machine makes of it shows in its state.
   */
  async cancel(reason = "", mode: "grace" | "kill" = "grace"): Promise<void> {
    const { runtime, origin, drive } = this.#ground();
    await drive(runtime.cancelScope(this.ref, mode, reason, origin));
  }

  async #post(event: z.input<E>, askId: string): Promise<void> {
    const { runtime, origin, drive } = this.#ground();
    const parsed = checked(this.#kind.events, event, "event");
    await drive(runtime.post(this.ref, { ...(parsed as Record<string, Json>), type: parsed.type, askId }, origin));
  }

  async #within<T>(promise: Promise<T>, what: string, { timeoutMs = WAIT_MS, signal }: WaitOptions): Promise<T> {
    const { environment, drive } = this.#ground();
    const { promise: refused, reject } = Promise.withResolvers<never>();
    // It may lose the race before anybody looks at it.
    refused.catch(() => undefined);
    const aborted = (): void => reject(new CohortError("CANCELLED", { on: what, cause: signal?.reason }));
    const cancel: Cancel = environment.after(timeoutMs, () =>
      reject(new CohortError("DEADLINE", { on: `${what}, after ${timeoutMs} ms` })),
    );
    if (signal?.aborted === true) aborted();
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      return await drive(Promise.race([promise, refused]));
    } finally {
      cancel();
      signal?.removeEventListener("abort", aborted);
    }
  }
}
