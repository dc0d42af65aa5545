/** Refuses a machine that uses what cannot be durable, naming the state, what it uses, and what there is instead. */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import { runtimeActions } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";

/**
 * enqueueActions is data too: what it enqueues is checked again at each transition (see step.ts).
 */
const BUILT_IN = new Set(["xstate.assign", "xstate.raise", "xstate.enqueueActions"]);

/** What xstate would do now and forget, and what is done after the commit. All but assign and raise are actions of the host, with params. */
const INSTEAD: Readonly<Record<string, string>> = {
  "xstate.sendTo": "send, which names an actor by its ref",
  "xstate.spawnChild": "spawn, which makes an actor of a registered kind",
  "xstate.stopChild": "send, with an event that ends it",
  "xstate.cancel": "stopTimer",
  "xstate.emit": "append, to a log that others follow",
  "xstate.log": "append, to a log",
};

function refuse(machine: AnyStateMachine, state: string, what: string): never {
  throw new CohortError("MACHINE_REFUSED", { on: `machine ${machine.id}, state ${state}: ${what}` });
}

function property(value: unknown, name: string): unknown {
  return (typeof value === "object" || typeof value === "function") && value !== null ? Reflect.get(value, name) : undefined;
}

function checkFunction(machine: AnyStateMachine, state: string, action: unknown, name: string): void {
  const type = property(action, "type");
  if (typeof type !== "string") refuse(machine, state, `${name} is a function that does work; use effect, and do the work there`);
  if (!BUILT_IN.has(type)) refuse(machine, state, `${name} uses ${type.replace("xstate.", "")}; use ${INSTEAD[type] ?? "effect"}`);
  if (type === "xstate.raise" && property(action, "delay") !== undefined)
    refuse(machine, state, `${name} raises with a delay; use startTimer`);
}

function checkAction(machine: AnyStateMachine, state: string, action: unknown): void {
  if (typeof action === "function") return checkFunction(machine, state, action, "an inline action");
  const name = typeof action === "string" ? action : property(action, "type");
  if (typeof name !== "string") refuse(machine, state, "an action without a name");
  const implementation: unknown = property(machine.implementations.actions, name);
  const ours = Object.hasOwn(runtimeActions, name) ? runtimeActions[name as keyof typeof runtimeActions] : undefined;
  if (ours !== undefined) {
    if (implementation !== undefined && implementation !== ours)
      refuse(machine, state, `${name} is implemented; its meaning is the host's`);
    if (typeof action === "string" || property(action, "params") === undefined) refuse(machine, state, `${name} without params`);
    return;
  }
  if (typeof implementation !== "function")
    refuse(machine, state, `action ${name} is not known; spread the host's actions into setup({ actions })`);
  checkFunction(machine, state, implementation, `action ${name}`);
}

function checkTransition(
  machine: AnyStateMachine,
  state: string,
  transition: { readonly actions: readonly unknown[]; readonly eventType: string },
): void {
  if (transition.eventType.startsWith("xstate.after")) refuse(machine, state, "after; use startTimer");
  for (const action of transition.actions) checkAction(machine, state, action);
}

function checkState(machine: AnyStateMachine, node: AnyStateNode): void {
  const state = node.path.length === 0 ? "(root)" : node.path.join(".");
  if (node.invoke.length > 0) refuse(machine, state, "invoke; use an effect");
  if (node.config.after !== undefined) refuse(machine, state, "after; use startTimer");
  if (node.type === "history") refuse(machine, state, "a history state, which a plain snapshot does not keep");
  for (const action of [...node.entry, ...node.exit]) checkAction(machine, state, action);
  for (const transitions of node.transitions.values()) for (const transition of transitions) checkTransition(machine, state, transition);
  for (const transition of node.always ?? []) checkTransition(machine, state, transition);
  if (node.config.initial !== undefined) for (const action of node.initial.actions) checkAction(machine, state, action);
  for (const child of Object.values(node.states)) checkState(machine, child);
}

export function checkMachine(machine: AnyStateMachine): void {
  checkState(machine, machine.root);
}
