/** What a user's effects are: work that an actor plans, with a schema of its parameters. */
import type { z } from "zod";
import type { EffectContext, EffectDefinition } from "../../runtime/contract.ts";
import type { ActorEvent, EffectParams, Json } from "../../runtime/kernel/actions.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { checked } from "./checked.ts";

export interface EffectScene extends EffectContext {
  /** Names this journal, for ever and nowhere else: with `key`, it names the effect among those of all programs. */
  readonly journal: string;
}

export interface EffectKind<P extends z.ZodType = z.ZodType> {
  readonly name: string;
  /**
   * keyed: running it twice with one key is harmless, so it is run again after a crash: hand `key` to whoever keeps it from being done twice.
   * once: never run again; a crash in between is told as `{ type: "effectUnknown", name, key }`.
   */
  readonly safety: "keyed" | "once";
  readonly params: P;
  /** Most of it that run at a time. Default 64. */
  readonly concurrency?: number;
  /** The event that its actor gets, or null. A throw becomes `{ type: "effectFailed", name, key, code, message }`. */
  run(params: z.output<P>, scene: EffectScene): Promise<ActorEvent | null>;
  /** Undo, when its actor is gone or does not take the outcome. Idempotent; tried until it succeeds. */
  compensate?(params: z.output<P>, scene: EffectScene): Promise<void>;
}

export interface PlannedEffect<P extends z.ZodType> extends EffectKind<P> {
  /** Parameters of the action `effect`: `{ type: "effect", params: ({ context }) => charge.plan(context.id, { … }) }`. `key` is unique for ever in this journal. */
  plan(key: string, params: z.input<P>): EffectParams;
}

/** Effects of one name are one kind. Names that begin with `cohort.` are taken. */
export function defineEffect<P extends z.ZodType>(kind: EffectKind<P>): PlannedEffect<P> {
  const { name } = kind;
  if (name === "" || name.startsWith("cohort."))
    throw new CohortError("REQUEST_INVALID", { on: `name of an effect: ${JSON.stringify(name)}` });
  return planned(kind);
}

/** For this package: its own names are allowed. */
export function planned<P extends z.ZodType>(kind: EffectKind<P>): PlannedEffect<P> {
  return { ...kind, plan: (key, params) => ({ name: kind.name, key, params: params as Json }) };
}

/** Any of them, whatever its parameters. */
export type AnyEffectKind = Omit<EffectKind, "run" | "compensate"> & {
  run(params: never, scene: EffectScene): Promise<ActorEvent | null>;
  compensate?(params: never, scene: EffectScene): Promise<void>;
};

/** Parameters are checked when it runs: those of an older build may lie in the journal. */
export function effectDefinition(kind: AnyEffectKind, journal: string): EffectDefinition {
  const { name, safety, concurrency, params: schema } = kind;
  // The schema that gives the parameters is the one that the functions were typed by.
  const paramsOf = (params: Json): never => checked(schema, params, `params of ${name}`) as never;
  return {
    name,
    safety,
    ...(concurrency === undefined ? {} : { concurrency }),
    run: async (params, context) => kind.run(paramsOf(params), { ...context, journal }),
    ...(kind.compensate === undefined
      ? {}
      : { compensate: async (params: Json, context: EffectContext) => kind.compensate?.(paramsOf(params), { ...context, journal }) }),
  };
}
