/** Reads the actions that xstate listed as operations of the host, all of them before any is applied. */
import {
  runtimeActions,
  type ActorEvent,
  type AppendParams,
  type EffectParams,
  type Json,
  type ProjectParams,
  type RuntimeActionName,
  type SendParams,
  type SpawnParams,
  type StartTimerParams,
  type StopTimerParams,
} from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { isActorRef } from "../kernel/ids.ts";
import { encodeJson, isObject } from "../kernel/json.ts";
import type { ListedAction } from "./definition.ts";

/** `text` is the JSON of what is stored, so that a value that cannot be stored fails its event and nothing else. */
export type Operation =
  | (SendParams & { readonly type: "send"; readonly text: string })
  | (EffectParams & { readonly type: "effect"; readonly text: string })
  | (StartTimerParams & { readonly type: "startTimer" })
  | (StopTimerParams & { readonly type: "stopTimer" })
  | (SpawnParams & { readonly type: "spawn"; readonly text: string })
  | (ProjectParams & { readonly type: "project"; readonly text: string })
  | (AppendParams & { readonly type: "append"; readonly text: string });

function wrong(action: string, what: string): never {
  throw new CohortError("MACHINE_REFUSED", { on: `${action}: ${what}` });
}

function text(action: string, params: { readonly [key: string]: Json | undefined }, name: string): string {
  const value = params[name];
  return typeof value === "string" && value !== "" ? value : wrong(action, `${name} is not a name`);
}

function isEvent(value: Json | undefined): value is ActorEvent {
  return isObject(value) && typeof value["type"] === "string";
}

function timerName(action: string, params: { readonly [key: string]: Json | undefined }): string {
  const name = text(action, params, "name");
  return name.startsWith("runtime.") ? wrong(action, `${name} is the host's`) : name;
}

/** The optional parts of a spawn. */
function fate(action: string, params: { readonly [key: string]: Json | undefined }): Pick<SpawnParams, "restart" | "deadlineAtMs"> {
  const { restart, deadlineAtMs } = params;
  if (restart !== undefined && restart !== "permanent" && restart !== "transient" && restart !== "temporary")
    wrong(action, "restart is not a type of restart");
  if (deadlineAtMs !== undefined && (typeof deadlineAtMs !== "number" || !Number.isFinite(deadlineAtMs)))
    wrong(action, "deadlineAtMs is not a time");
  return { ...(restart === undefined ? {} : { restart }), ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }) };
}

function read(action: RuntimeActionName, params: { readonly [key: string]: Json | undefined }): Operation {
  switch (action) {
    case "send": {
      const { to, event } = params;
      if (!isActorRef(to)) wrong(action, "to is not a ref");
      if (!isEvent(event)) wrong(action, "event has no type");
      return { type: action, to, event, text: encodeJson(event) };
    }
    case "effect":
      return {
        type: action,
        name: text(action, params, "name"),
        key: text(action, params, "key"),
        params: params["params"] ?? null,
        text: encodeJson(params["params"]),
      };
    case "startTimer": {
      const atMs = params["atMs"];
      if (typeof atMs !== "number" || !Number.isFinite(atMs)) wrong(action, "atMs is not a time");
      return { type: action, name: timerName(action, params), atMs };
    }
    case "stopTimer":
      return { type: action, name: timerName(action, params) };
    case "spawn": {
      const { ref } = params;
      if (!isActorRef(ref)) wrong(action, "ref is not a ref");
      const input = params["input"] ?? null;
      const scope = params["scope"] === undefined ? {} : { scope: text(action, params, "scope") };
      return { type: action, ref, input, ...scope, ...fate(action, params), text: encodeJson(input) };
    }
    case "project": {
      const value = params["value"] ?? null;
      return {
        type: action,
        collection: text(action, params, "collection"),
        key: text(action, params, "key"),
        value,
        text: encodeJson(value),
      };
    }
    case "append": {
      const value = params["value"] ?? null;
      return { type: action, log: text(action, params, "log"), value, text: encodeJson(value) };
    }
  }
}

function isRuntimeAction(name: string): name is RuntimeActionName {
  return Object.hasOwn(runtimeActions, name);
}

/** Throws MACHINE_REFUSED for an action that only shows itself at a transition (through enqueueActions), or with params of a wrong shape. */
export function readOperations(actions: readonly ListedAction[]): readonly Operation[] {
  const operations: Operation[] = [];
  for (const action of actions) {
    if (action.type === "xstate.raise") {
      // xstate applied it already, unless it is delayed: then nobody would.
      if (isObject(action.params) && action.params["delay"] !== undefined) wrong("raise", "a delay; use startTimer");
      continue;
    }
    if (!isRuntimeAction(action.type) || action.exec !== runtimeActions[action.type]) wrong(action.type, "not an action of the host");
    if (!isObject(action.params)) wrong(action.type, "no params");
    operations.push(read(action.type, action.params));
  }
  return operations;
}
