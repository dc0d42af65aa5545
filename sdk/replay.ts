/** A run's past through the machines again, in this process: cohortd only hands out pages of its journal, and no effect runs. */
import { cohortDefinitions } from "../machines/definitions.ts";
import { PreparedDefinition } from "../runtime/actor/definition.ts";
import type { ActorDefinition } from "../runtime/contract.ts";
import { runtimeActions } from "../runtime/kernel/actions.ts";
import { CohortError } from "../runtime/kernel/error.ts";
import type { HistoryCursor, HistoryPage } from "../runtime/kernel/history.ts";
import { ActorReplay, type ActorReplayed, type ReplayDefinitions } from "../runtime/replay/actor-replay.ts";
import type { Link } from "./link.ts";

/** A machine to ask about: the rest of its definition, where it is not given, is the present one's of its kind. */
export type ChangedMachine = Pick<ActorDefinition, "kind" | "machine"> & Partial<ActorDefinition>;

/** Throws MACHINE_REFUSED. */
export function replayDefinitions(changed: readonly ChangedMachine[]): ReplayDefinitions {
  const present = new Map(cohortDefinitions.map((definition) => [definition.kind as string, new PreparedDefinition(definition)]));
  const others = changed.map((machine): [string, PreparedDefinition] => [machine.kind, new PreparedDefinition(completed(machine))]);
  return { present, changed: new Map(others) };
}

function completed(changed: ChangedMachine): ActorDefinition {
  const present = cohortDefinitions.find(({ kind }) => kind === changed.kind);
  if (present === undefined)
    throw new CohortError("MACHINE_REFUSED", {
      on: `no actor of a run is of kind ${changed.kind}; there are ${cohortDefinitions.map(({ kind }) => kind).join(", ")}`,
    });
  // Its module may have been loaded with actions of its own copy of Cohort: their meaning is the host's in any case.
  return { ...present, ...changed, machine: changed.machine.provide({ actions: runtimeActions }) };
}

/** One verdict an actor, in the order of their names. A run that lives is replayed up to where it stands. */
export async function* replayRun(link: Link, run: string, changed: readonly ChangedMachine[]): AsyncGenerator<ActorReplayed, void> {
  const definitions = replayDefinitions(changed);
  let replay: ActorReplay | null = null;
  for (let after: HistoryCursor | null = null; ;) {
    const page: HistoryPage = await link.call("run.history", after === null ? { run } : { run, after }, { repeatable: true });
    for (const { actor, events, more } of page.parts) {
      replay ??= new ActorReplay(actor, definitions);
      for (const event of events) replay.give(event);
      if (more) continue;
      yield replay.end(actor);
      replay = null;
    }
    if (page.next === null) return;
    after = page.next;
  }
}
