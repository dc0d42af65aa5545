/** Loads a person's machines for `--what-if`, into this process alone: cohortd never sees them. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { ChangedMachine } from "../../../sdk/index.ts";

type Machine = ChangedMachine["machine"];

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** By what it can do: the person's xstate is not ours, so there is no class to ask for. */
function isMachine(value: unknown): value is Machine {
  return ["transition", "getInitialSnapshot", "provide"].every((name) => typeof property(value, name) === "function");
}

function isDefinition(value: unknown): value is ChangedMachine {
  return typeof property(value, "kind") === "string" && isMachine(property(value, "machine"));
}

/** `child` and `childMachine` say which actor is meant; a default export says it by its id. */
function kindOf(name: string, machine: Machine): string {
  return name === "default" ? machine.id : name.replace(/(?<=.)Machine$/, "");
}

/** Pure: what a module offers, one machine a kind. */
export function machinesOf(path: string, exported: Readonly<Record<string, unknown>>): readonly ChangedMachine[] {
  const found = new Map<string, ChangedMachine>();
  for (const [name, value] of Object.entries(exported)) {
    if (!isMachine(value) && !isDefinition(value)) continue;
    const changed = isDefinition(value) ? value : { kind: kindOf(name, value), machine: value };
    const other = found.get(changed.kind);
    if (other !== undefined && other.machine !== changed.machine)
      throw new CohortError("MACHINE_FILE_INVALID", { on: `${path} exports two machines of kind ${changed.kind}` });
    found.set(changed.kind, changed);
  }
  if (found.size === 0) {
    const names = Object.keys(exported);
    const what = names.length === 0 ? "it exports nothing" : `it exports ${names.join(", ")}, none of them a machine`;
    throw new CohortError("MACHINE_FILE_INVALID", { on: `${path}: ${what}` });
  }
  return [...found.values()];
}

/** Throws MACHINE_FILE_INVALID. */
export async function loadMachines(path: string): Promise<readonly ChangedMachine[]> {
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new CohortError("MACHINE_FILE_INVALID", { on: `${path} cannot be loaded: ${message}`, cause });
  }
  return machinesOf(path, exported);
}
