/**
 * Answers of actors to who asked them in this process.
 *
 * Owns who waits. An answer is an effect, so that it is told after the commit of the transition that gave it; whoever asked is gone with its process, so after
 * a crash there is nobody to tell.
 */
import { z } from "zod";
import type { EffectParams, Json } from "../../runtime/kernel/actions.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import type { EffectKind } from "./effect-kind.ts";

const NAME = "cohort.answer";

const paramsSchema = z.object({ askId: z.string(), value: z.json() });

/**
 * Parameters of the action `effect` that answers an event of `ask`, now or in a later transition that has kept `askId`:
 * `{ type: "effect", params: ({ context, event }) => answer(event, { total: context.total }) }`. One answer an event; to one that was sent it goes nowhere.
 */
export function answer({ askId }: { readonly askId: string }, value: Json): EffectParams {
  // Of an event that came from elsewhere than send or ask (a timer, another actor) the type says so; here it is said to plain JavaScript.
  if (typeof askId !== "string" || askId === "") throw new CohortError("REQUEST_INVALID", { on: "answer: this event was not asked" });
  return { name: NAME, key: `${NAME}:${askId}`, params: { askId, value } };
}

export class Answers {
  readonly #waiting = new Map<string, (value: Json) => void>();

  readonly effect: EffectKind<typeof paramsSchema> = {
    name: NAME,
    safety: "keyed",
    params: paramsSchema,
    run: ({ askId, value }) => {
      this.#waiting.get(askId)?.(value);
      return Promise.resolve(null);
    },
  };

  /** Resolves with the answer; `stop` ends the waiting. */
  wait(askId: string): { readonly answered: Promise<Json>; readonly stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<Json>();
    this.#waiting.set(askId, resolve);
    return { answered: promise, stop: () => void this.#waiting.delete(askId) };
  }
}
