/** What a user's actors are: a machine, its version, and the schemas of what comes to it from outside. */
import type { AnyStateMachine, ContextFrom, EventFromLogic, SnapshotFrom } from "xstate";
import type { z } from "zod";
import type { ActorDefinition } from "../../runtime/contract.ts";
import type { ActorRef, Json } from "../../runtime/kernel/actions.ts";
import { checkMachine } from "../../runtime/actor/machine-check.ts";
import { CohortError } from "../../runtime/kernel/error.ts";

export type EventSchema = z.ZodType<{ readonly type: string }>;
/** By type of the event that is asked. */
export type AnswerSchemas<E extends EventSchema> = { readonly [T in z.output<E>["type"]]?: z.ZodType };

/** What the runtime itself tells an actor. `at`: milliseconds since the epoch. */
export type RuntimeEvent = { readonly at: number } & (
  | { readonly type: "timer"; readonly name: string }
  | { readonly type: "effectFailed"; readonly name: string; readonly key: string; readonly code: string; readonly message: string }
  /** Of an effect with safety once: a crash came while it ran, and nobody knows whether it did. */
  | { readonly type: "effectUnknown"; readonly name: string; readonly key: string }
  | { readonly type: "cancel"; readonly mode: "grace" | "kill"; readonly reason: string }
  /** An actor that this one spawned ended otherwise than by its own final state, and is not restarted. */
  | {
      readonly type: "actorFailed";
      readonly ref: string;
      readonly reason: "failed" | "cancelled" | "escalated";
      readonly message: string;
    }
);

/** An event as the machine gets it through `send` or `ask`. `askId` is for `answer`. */
export type FromOutside<E extends EventSchema> = z.output<E> & { readonly at: number; readonly askId: string };

/** What `start` gave, as the machine gets it: the first transition has no event, and takes its time from here. */
export type Given<I extends z.ZodType> = z.output<I> & { readonly at: number };

/** All that a machine hears, but for what its effects answer: `setup({ types: { events: {} as Heard<typeof events> | TaskFinished } })`. */
export type Heard<E extends EventSchema> = FromOutside<E> | RuntimeEvent;

export interface ActorKind<
  M extends AnyStateMachine = AnyStateMachine,
  I extends z.ZodType = z.ZodType,
  E extends EventSchema = EventSchema,
  A extends AnswerSchemas<E> = AnswerSchemas<E>,
> {
  /** First part of each actor's name: letters, digits, dashes, at most 64. */
  readonly kind: string;
  /** From 1. Grows with each change of states, context, guards or assigns; older snapshots are brought up by `migrations`, or refused. */
  readonly version: number;
  readonly machine: M;
  /** Of what `start` gives; the machine gets it with `at`. An object. */
  readonly input: I;
  /** Of what `send` and `ask` give, told apart by `type`. */
  readonly events: E;
  /** Of what the machine answers to the events that are asked. */
  readonly answers?: A;
  /** Snapshot `{ value, context, status }` of version n → n + 1, pure. */
  readonly migrations?: Readonly<Record<number, (snapshot: Json) => Json>>;
  /** Types of events that a state may ignore. Any other that it does not take is a DEAD_LETTER. */
  readonly ignores?: readonly string[];
  /** Whether it begins again from its input after a throw (transient), after any end (permanent), or not. Default temporary: the actor ends as failed. */
  readonly restart?: NonNullable<ActorDefinition["restart"]>;
  /** How the actors that it spawns are restarted together, and when it gives up. */
  readonly supervises?: NonNullable<ActorDefinition["supervises"]>;
}

/** A machine that could not take what the schema lets in does not fit: its type of events must have them all. */
type Takes<M extends AnyStateMachine, E extends EventSchema> =
  FromOutside<E> extends EventFromLogic<M> ? unknown : { readonly machine: "its events lack some that the schema lets in" };

const KIND = /^[a-z][A-Za-z0-9-]{0,63}$/;

/** Checked at once: throws MACHINE_REFUSED, naming the state, what it uses and what to use instead; REQUEST_INVALID for a name or a version. */
export function defineActor<
  M extends AnyStateMachine,
  I extends z.ZodType,
  E extends EventSchema,
  // oxlint-disable-next-line typescript/no-generated-empty-object-type -- Without answers there is nothing to ask.
  A extends AnswerSchemas<E> = Record<never, never>,
>(kind: ActorKind<M, I, E, A> & Takes<M, E>): ActorKind<M, I, E, A> {
  if (!KIND.test(kind.kind)) throw new CohortError("REQUEST_INVALID", { on: `kind: ${JSON.stringify(kind.kind)} is not a name` });
  if (!Number.isSafeInteger(kind.version) || kind.version < 1)
    throw new CohortError("REQUEST_INVALID", { on: `version of ${kind.kind}: ${kind.version}` });
  checkMachine(kind.machine);
  return kind;
}

/** Everything but its schemas is the runtime's own. */
export function definitionOf(actor: AnyActorKind): ActorDefinition {
  const { kind, version, machine, migrations, ignores, restart, supervises } = actor;
  return {
    kind,
    version,
    machine,
    ...(migrations === undefined ? {} : { migrations }),
    ...(ignores === undefined ? {} : { ignores }),
    ...(restart === undefined ? {} : { restart }),
    ...(supervises === undefined ? {} : { supervises }),
  };
}

export type AnyActorKind = ActorKind<AnyStateMachine, z.ZodType, EventSchema, Readonly<Record<string, z.ZodType | undefined>>>;

export interface ActorState<M extends AnyStateMachine> {
  readonly ref: ActorRef;
  readonly value: SnapshotFrom<M>["value"];
  readonly context: ContextFrom<M>;
  /** active: it lives. restarting: it broke, or was stopped with others, and may begin again; its state is that of before. The others are ends. */
  readonly status: "active" | "restarting" | "done" | "failed" | "cancelled" | "escalated";
}
