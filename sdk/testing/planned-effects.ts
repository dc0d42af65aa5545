/**
 * Which effects were planned, and how far the journal knows them to be.
 *
 * Owns that list, across crashes: it is what a journal would say.
 */
import { ROW_WIDTHS, type BatchRows, type EffectState, type LoadedState } from "../../runtime/journal/batch-rows.ts";
import type { Json } from "../../runtime/kernel/actions.ts";

export interface JournaledEffect {
  readonly name: string;
  readonly key: string;
  readonly params: Json;
  /** Who planned it. */
  readonly owner: string;
  /** planned: it runs, or is to. started: the same of one with safety once. orphaned: it is being undone. duplicate: its key was used before. */
  readonly state: EffectState;
}

/** Places of cells in a row of `effects`. */
const [ID, OWNER, NAME, ASKED_KEY, PARAMS] = [0, 1, 2, 4, 5];

export class PlannedEffects {
  readonly #effects = new Map<number, JournaledEffect>();

  get all(): readonly JournaledEffect[] {
    return [...this.#effects.values()];
  }

  /** What a crash left: the last commits may have become durable without anybody hearing of it. */
  loaded({ effects }: LoadedState): void {
    const pending = new Set(effects.map(({ id }) => id));
    for (const [id, effect] of this.#effects)
      if (!pending.has(id) && effect.state !== "done") this.#effects.set(id, { ...effect, state: "done" });
    for (const { id, owner, name, asked_key: key, params, state } of effects)
      this.#effects.set(id, { name, key, params: JSON.parse(params) as Json, owner, state });
  }

  committed({ tables: { effects = [], effectStates = [] } }: BatchRows): void {
    for (let start = 0; start < effects.length; start += ROW_WIDTHS.effects) {
      const text = (place: number): string => String(effects[start + place]);
      const params = JSON.parse(text(PARAMS)) as Json;
      this.#effects.set(Number(effects[start + ID]), {
        name: text(NAME),
        key: text(ASKED_KEY),
        params,
        owner: text(OWNER),
        state: "planned",
      });
    }
    for (let start = 0; start < effectStates.length; start += ROW_WIDTHS.effectStates) {
      const id = Number(effectStates[start + 1]);
      const effect = this.#effects.get(id);
      if (effect !== undefined) this.#effects.set(id, { ...effect, state: effectStates[start] as EffectState });
    }
  }
}
