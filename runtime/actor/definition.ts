/** A definition, checked and made ready: transitions as a pure function, snapshots to and from plain JSON. */
import { createHash } from "node:crypto";
import { createActor, fromTransition, type ActorScope, type AnyMachineSnapshot, type AnyStateMachine } from "xstate";
import type { ActorDefinition, RestartType, Supervises } from "../contract.ts";
import type { ActorEvent, Json } from "../kernel/actions.ts";
import { CohortError } from "../kernel/error.ts";
import { isObject } from "../kernel/json.ts";
import { MICROSTEPS_MAX, SUPERVISED_RESTARTS_MAX } from "../kernel/limits.ts";
import type { ActorRow } from "../journal/batch-rows.ts";
import { checkMachine } from "./machine-check.ts";

/** What xstate lists for the host to do. */
export interface ListedAction {
  readonly type: string;
  readonly params: unknown;
  readonly exec: unknown;
}

/** Whose snapshot it is, and by which definition it was written. */
type WrittenBy = Pick<ActorRow, "ref" | "version" | "hash">;

type Scope = ActorScope<AnyMachineSnapshot, { type: string }>;

/**
 * xstate's own `transition()` makes an actor for each call, which evaluates the initial context with no input: wasteful, and it may throw.
 * One inert scope a definition serves as well, because the host lets machines use nothing that reaches it.
 */
function inertScope(collected: { actions: ListedAction[] }): Scope {
  const self = createActor(fromTransition((state: null) => state, null));
  const nothing = (): void => {};
  const scope = {
    self,
    system: self.system,
    id: "",
    sessionId: "",
    logger: nothing,
    defer: nothing,
    stopChild: nothing,
    emit: nothing,
    actionExecutor: (action: ListedAction) => void collected.actions.push(action),
  };
  return scope as unknown as Scope;
}

/** Functions (guards, assigners, params) are not in it: their change needs a new version by hand. */
function definitionHash(machine: AnyStateMachine): string {
  return createHash("sha256").update(JSON.stringify(machine.config)).digest("hex").slice(0, 32);
}

function checkedPolicy({ kind, supervises }: ActorDefinition): Supervises | null {
  if (supervises === undefined) return null;
  const { restartsMax, windowMs, delayMsMin, delayMsMax } = supervises;
  const numbers = [restartsMax, windowMs, delayMsMin, delayMsMax].every((value) => Number.isFinite(value) && value >= 0);
  if (!numbers || delayMsMin > delayMsMax || restartsMax > SUPERVISED_RESTARTS_MAX)
    throw new CohortError("MACHINE_REFUSED", { on: `${kind} supervises with numbers that cannot be: ${JSON.stringify(supervises)}` });
  return supervises;
}

export class PreparedDefinition {
  readonly kind: string;
  readonly version: number;
  readonly hash: string;
  readonly restart: RestartType;
  readonly supervises: Supervises | null;
  readonly #definition: ActorDefinition;
  readonly #machine: AnyStateMachine;
  readonly #ignores: ReadonlySet<string>;
  readonly #collected: { actions: ListedAction[] } = { actions: [] };
  readonly #scope: Scope;

  constructor(definition: ActorDefinition) {
    checkMachine(definition.machine);
    this.kind = definition.kind;
    this.version = definition.version;
    if (definition.kind === "scope") throw new CohortError("MACHINE_REFUSED", { on: "the kind scope is the runtime's" });
    this.restart = definition.restart ?? "temporary";
    this.supervises = checkedPolicy(definition);
    this.#definition = definition;
    this.#machine = definition.machine;
    this.#ignores = new Set(definition.ignores ?? []);
    this.hash = definitionHash(definition.machine);
    this.#scope = inertScope(this.#collected);
    const { options } = definition.machine;
    if ((options.maxIterations ?? Infinity) > MICROSTEPS_MAX) options.maxIterations = MICROSTEPS_MAX;
  }

  ignores(type: string): boolean {
    return this.#ignores.has(type);
  }

  /** Throws what the machine throws. */
  start(input: Json): { readonly snapshot: AnyMachineSnapshot; readonly actions: readonly ListedAction[] } {
    this.#collected.actions = [];
    const snapshot = this.#machine.getInitialSnapshot(this.#scope, input) as AnyMachineSnapshot;
    return { snapshot, actions: this.#collected.actions };
  }

  /** Null: no state takes this event. Throws what the machine throws. */
  take(
    before: AnyMachineSnapshot,
    event: ActorEvent,
  ): { readonly snapshot: AnyMachineSnapshot; readonly actions: readonly ListedAction[] } | null {
    this.#collected.actions = [];
    const snapshot = this.#machine.transition(before, event, this.#scope) as AnyMachineSnapshot;
    const actions = this.#collected.actions;
    // An event without a transition leaves the very object; so may a transition that is declared and empty, which counts as taken.
    if (snapshot === before && actions.length === 0 && this.#machine.getTransitionData(before, event).length === 0) return null;
    return { snapshot, actions };
  }

  encode(snapshot: AnyMachineSnapshot): string {
    const { value, context, status } = snapshot as { readonly value: unknown; readonly context: unknown; readonly status: string };
    return JSON.stringify({ value, context, status });
  }

  /** Rebuilds what encode wrote, migrating it first if an older version wrote it. */
  restore(row: WrittenBy, stored: Json): AnyMachineSnapshot {
    const migrated = this.#migrate(row, stored);
    if (!isObject(migrated)) throw new CohortError("JOURNAL_CORRUPT", { on: `snapshot of ${row.ref}` });
    try {
      return this.#machine.resolveState(migrated as unknown as Parameters<AnyStateMachine["resolveState"]>[0]) as AnyMachineSnapshot;
    } catch (cause) {
      throw new CohortError("JOURNAL_VERSION", { on: `${row.ref}: its state is not in version ${this.version} of ${this.kind}`, cause });
    }
  }

  #migrate(row: WrittenBy, stored: Json): Json {
    if (row.version === this.version) {
      if (row.hash !== this.hash) {
        throw new CohortError("JOURNAL_VERSION", {
          on: `${row.ref}: the definition of ${this.kind} changed, its version ${this.version} did not`,
          hint: `give it version ${this.version + 1} and a migration from ${this.version}; nothing was changed`,
        });
      }
      return stored;
    }
    if (row.version > this.version)
      throw new CohortError("JOURNAL_VERSION", { on: `${row.ref} is of version ${row.version}, this build knows ${this.version}` });
    let snapshot = stored;
    for (let version = row.version; version < this.version; version++) {
      const step = this.#definition.migrations?.[version];
      if (step === undefined)
        throw new CohortError("JOURNAL_VERSION", {
          on: `${row.ref}: no migration of ${this.kind} from version ${version}`,
          hint: `add the migration from version ${version} to ${version + 1}; nothing was changed`,
        });
      try {
        snapshot = step(snapshot);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new CohortError("JOURNAL_VERSION", {
          on: `${row.ref}: the migration of ${this.kind} from version ${version} failed: ${why}`,
          hint: "mend the migration; nothing was changed",
          cause,
        });
      }
    }
    return snapshot;
  }
}
