/** The run's effects: cancelling its own scope, and telling the system that it has ended. */
import type { EffectDefinition, Origin, Runtime } from "../runtime/contract.ts";
import type { Json } from "../runtime/kernel/actions.ts";
import { runEffects, type CancelScopeParams, type EndedParams } from "../machines/messages/run-events.ts";

export function runScope(run: string): string {
  return `run:${run}`;
}

export interface RunParts {
  /** Resolves when the runtime is open: effects recover before it is. */
  readonly runtime: Promise<Runtime>;
  ended(run: string): Promise<void>;
}

const runOrigin: Origin = { surface: "daemon", device: "run" };

export function runEffectDefinitions(parts: RunParts): readonly EffectDefinition[] {
  return [
    {
      name: runEffects.cancelScope,
      safety: "keyed",
      run: async (params: Json) => {
        const { run, mode, reason } = params as CancelScopeParams;
        await (await parts.runtime).cancelScope(runScope(run), mode, reason, runOrigin);
        return null;
      },
    },
    {
      name: runEffects.ended,
      safety: "keyed",
      run: async (params: Json) => {
        await parts.ended((params as EndedParams).run);
        return null;
      },
    },
  ];
}
