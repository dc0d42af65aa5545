/** Runs machines without a journal, a clock or a warden: every pending thing lies in a list, and the test chooses what happens next. */
import { initialTransition, transition, type AnyMachineSnapshot, type AnyStateMachine } from "xstate";
import type { ActorEvent, Json } from "../../runtime/kernel/actions.ts";
import { childMachine } from "../../machines/child.ts";
import { relayMachine } from "../../machines/relay.ts";
import { runMachine } from "../../machines/run.ts";

export type Act = { readonly type: string; readonly params: Record<string, Json> };
export type Pending =
  | { readonly kind: "event"; readonly from: string; readonly to: string; readonly event: ActorEvent }
  | { readonly kind: "effect"; readonly owner: string; readonly name: string; readonly key: string; readonly params: Record<string, Json> }
  | { readonly kind: "timer"; readonly owner: string; readonly name: string };

const machines: Record<string, AnyStateMachine> = { child: childMachine, relay: relayMachine, run: runMachine };

export function acts(actions: readonly { readonly type: string; readonly params: unknown }[]): Act[] {
  return actions
    .filter((action) => !action.type.startsWith("xstate."))
    .map((action) => ({ type: action.type, params: action.params as Record<string, Json> }));
}

export class PureHost {
  readonly snapshots = new Map<string, AnyMachineSnapshot>();
  readonly pending: Pending[] = [];
  readonly logs = new Map<string, Json[]>();
  readonly rows = new Map<string, Json>();
  readonly effectKeys = new Set<string>();
  readonly ignored: string[] = [];
  now = 1000;

  spawn(ref: string, input: Json): void {
    if (this.snapshots.has(ref)) throw new Error(`spawned twice: ${ref}`);
    const machine = machines[ref.slice(0, ref.indexOf(":"))];
    if (machine === undefined) throw new Error(`no machine for ${ref}`);
    const [snapshot, actions] = initialTransition(machine, input);
    this.snapshots.set(ref, snapshot);
    this.#apply(ref, acts(actions));
  }

  deliver(ref: string, event: ActorEvent): Act[] {
    const before = this.snapshots.get(ref);
    if (before === undefined) throw new Error(`no actor ${ref}`);
    this.now += 1;
    if (before.status !== "active") {
      this.ignored.push(`${ref} ${event.type}`);
      return [];
    }
    const machine = machines[ref.slice(0, ref.indexOf(":"))];
    if (machine === undefined) throw new Error(`no machine for ${ref}`);
    const [snapshot, actions] = transition(machine, before, { at: this.now, ...event });
    if (snapshot.status === "error") throw snapshot.error;
    // Through JSON and back, as after every restart.
    this.snapshots.set(
      ref,
      machine.resolveState(JSON.parse(JSON.stringify({ value: snapshot.value, context: snapshot.context, status: snapshot.status }))),
    );
    const done = acts(actions);
    this.#apply(ref, done);
    return done;
  }

  cancelScope(mode: "grace" | "kill", reason: string): void {
    for (const [ref, snapshot] of this.snapshots)
      if (snapshot.status === "active" && !ref.startsWith("relay:"))
        this.pending.push({ kind: "event", from: "scope", to: ref, event: { type: "cancel", mode, reason } });
    this.cancelled = mode;
  }
  cancelled: "none" | "grace" | "kill" = "none";

  context(ref: string): Record<string, Json> {
    return this.snapshots.get(ref)?.context as Record<string, Json>;
  }

  #apply(ref: string, actions: readonly Act[]): void {
    for (const { type, params } of actions) {
      switch (type) {
        case "send":
          this.pending.push({ kind: "event", from: ref, to: String(params.to), event: params.event as ActorEvent });
          break;
        case "effect": {
          const key = String(params.key);
          if (this.effectKeys.has(key)) throw new Error(`effect key used twice: ${key}`);
          this.effectKeys.add(key);
          this.pending.push({ kind: "effect", owner: ref, name: String(params.name), key, params: params.params as Record<string, Json> });
          break;
        }
        case "startTimer": {
          this.#stopTimer(ref, String(params.name));
          this.pending.push({ kind: "timer", owner: ref, name: String(params.name) });
          break;
        }
        case "stopTimer":
          this.#stopTimer(ref, String(params.name));
          break;
        case "spawn":
          this.spawn(String(params.ref), params.input ?? null);
          if (this.cancelled !== "none" && !String(params.ref).startsWith("relay:"))
            this.pending.push({
              kind: "event",
              from: "scope",
              to: String(params.ref),
              event: { type: "cancel", mode: this.cancelled, reason: "joined late" },
            });
          break;
        case "project":
          if (params.value === null) this.rows.delete(`${String(params.collection)}/${String(params.key)}`);
          else this.rows.set(`${String(params.collection)}/${String(params.key)}`, params.value ?? null);
          break;
        case "append":
          this.logs.set(String(params.log), [...(this.logs.get(String(params.log)) ?? []), params.value ?? null]);
          break;
        default:
          throw new Error(`a machine used ${type}`);
      }
    }
  }

  #stopTimer(owner: string, name: string): void {
    const at = this.pending.findIndex((other) => other.kind === "timer" && other.owner === owner && other.name === name);
    if (at >= 0) this.pending.splice(at, 1);
  }
}
