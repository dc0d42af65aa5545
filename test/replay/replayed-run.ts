/** All of a run's past through the machines, as a client would do it. */
import type { System } from "../../actors/contract.ts";
import type { Runtime } from "../../runtime/contract.ts";
import type { HistoryCursor, HistoryPage, JournaledActor, JournaledEvent } from "../../runtime/kernel/history.ts";
import { replayActor, type ActorReplayed } from "../../runtime/replay/actor-replay.ts";
import { replayDefinitions, type ChangedMachine } from "../../sdk/replay.ts";

export interface Past {
  readonly actor: JournaledActor;
  readonly events: readonly JournaledEvent[];
}

/** Whole actors, joined from pages of so many rows. */
export async function pastOf(read: (after: HistoryCursor | null) => Promise<HistoryPage> | HistoryPage): Promise<readonly Past[]> {
  const found: { actor: JournaledActor; events: JournaledEvent[] }[] = [];
  let goesOn = false;
  for (let after: HistoryCursor | null = null, pages = 0; ; pages += 1) {
    if (pages > 10_000) throw new Error("the pages have no end");
    const page: HistoryPage = await read(after);
    for (const { actor, events, more } of page.parts) {
      const last = found.at(-1);
      if (goesOn && last?.actor.ref === actor.ref) {
        last.actor = actor;
        last.events.push(...events);
      } else found.push({ actor, events: [...events] });
      goesOn = more;
    }
    if (page.next === null) return found;
    after = page.next;
  }
}

export function pastOfRun(system: System, run: string, limit = 100): Promise<readonly Past[]> {
  return pastOf((after) => system.history(run, after, limit));
}

export function pastOfScope(runtime: Runtime, scope: string, limit = 100): Promise<readonly Past[]> {
  return pastOf((after) => runtime.history(scope, after, limit));
}

export function replayAll(past: readonly Past[], changed: readonly ChangedMachine[] = []): readonly ActorReplayed[] {
  const definitions = replayDefinitions(changed);
  return past.map(({ actor, events }) => replayActor(actor, events, definitions));
}
