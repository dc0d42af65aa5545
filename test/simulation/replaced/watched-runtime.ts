/** The real openRuntime; that each effect has its plan in the journal is looked at whenever one runs. */
import type { EffectDefinition, OpenRuntime } from "../../../runtime/contract.ts";
import { openRuntime as open } from "../../../runtime/runtime.ts";
import { computer } from "../machine/computer.ts";

function watched(effect: EffectDefinition): EffectDefinition {
  return {
    ...effect,
    run: (params, context) => {
      const on = computer();
      on.trace.add("effect", `${effect.name} ${context.key}${context.recovered ? " again" : ""}`);
      if (!on.planned.has(context.key)) on.violate(`effect ${effect.name} ${context.key} runs before its plan is durable`);
      return effect.run(params, context);
    },
  };
}

export const openRuntime: OpenRuntime = (options) => open({ ...options, effects: options.effects.map(watched) });
