/**
 * The statecharts of a run's actors (docs/machines), to be changed and asked about:
 *
 * ```ts
 * import { child as present } from "cohort/machines";
 *
 * export const child = present.provide({ guards: { retries: () => false, retriesAndGone: () => false } });
 * ```
 *
 * `cohort replay RUN --what-if FILE`, or `run.replay({ changed: [{ kind: "child", machine: child }] })`, tells where runs would have gone another way.
 */
import type { AnyStateMachine } from "xstate";
import { approvalDefinition, childDefinition, grantDefinition, relayDefinition, runDefinition } from "../machines/definitions.ts";

export const run: AnyStateMachine = runDefinition.machine;
export const relay: AnyStateMachine = relayDefinition.machine;
export const child: AnyStateMachine = childDefinition.machine;
export const grant: AnyStateMachine = grantDefinition.machine;
export const approval: AnyStateMachine = approvalDefinition.machine;
