/** Journals that were written by this version and by earlier ones: each must still open, and its actors go the way they went. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { childMachine } from "../../machines/child.ts";
import { childDefinition, relayDefinition } from "../../machines/definitions.ts";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import type { ActorDefinition } from "../../runtime/contract.ts";
import type { Json } from "../../runtime/kernel/actions.ts";
import { JOURNAL_FORMAT } from "../../runtime/journal/schema.ts";
import type { JournalStore } from "../../runtime/journal/store.ts";
import { replayActor, type ActorReplayed, type Divergence } from "../../runtime/replay/actor-replay.ts";
import { replayDefinitions } from "../../sdk/replay.ts";
import { GOLDEN_DIRECTORY, withGolden } from "./golden-journal.ts";
import { pastOf, replayAll, type Past } from "./replayed-run.ts";

const files = readdirSync(GOLDEN_DIRECTORY).filter((name) => name.endsWith(".sql"));
const present = `format-${JOURNAL_FORMAT}.sql`;

/** `<file> <run's name> <kind>` of what a later machine is meant to do otherwise on the same events, and why. */
const INTENDED: Readonly<Record<string, string>> = {};

const HELP = `A machine, its version or the journal changed so that an earlier journal is not replayed as it was.
If that was not meant: mend it. If a machine's states or context changed: raise its version and give a migration (machines/definitions.ts).
If it is meant to act otherwise on the same events: say so in INTENDED. If the journal's format is a new one: npm run golden, and commit the new file.`;

async function past(store: JournalStore, run: string): Promise<readonly Past[]> {
  return pastOf((after) => store.history(`run:${run}`, after, 100));
}

function wrong(replayed: readonly ActorReplayed[]): readonly unknown[] {
  return replayed.filter(({ verdict }) => verdict.type !== "same" && verdict.type !== "migrated");
}

describe.each(files)("golden journal %s", (file) => {
  it("opens, and each of its runs replays as it went", async () => {
    await withGolden(file, async (store, runs) => {
      expect(runs.length, `${file} names no run`).toBeGreaterThan(0);
      const met = new Set<string>();
      for (const { name, run, actors, events } of runs) {
        const all = await past(store, run);
        expect([name, all.length, all.reduce((sum, one) => sum + one.events.length, 0)], HELP).toEqual([name, actors, events]);
        const unintended = wrong(replayAll(all)).filter((one) => {
          const key = `${file} ${name} ${(one as ActorReplayed).kind}`;
          if (key in INTENDED) met.add(key);
          return !(key in INTENDED);
        });
        expect(unintended, `run ${name} of ${file}: ${HELP}`).toEqual([]);
      }
      const stale = Object.keys(INTENDED).filter((key) => key.startsWith(`${file} `) && !met.has(key));
      expect(stale, "these replay as they went: take them off INTENDED").toEqual([]);
    });
  });
});

it("the present format of the journal has its golden journal", () => {
  expect(files, "record it: npm run golden, and commit the new file").toContain(present);
});

/** Every actor of a run of a golden journal, with a definition that somebody changed. */
async function replayedWith(file: string, name: string, definition: ActorDefinition): Promise<readonly ActorReplayed[]> {
  const definitions = new Map([...replayDefinitions([]).present, [definition.kind, new PreparedDefinition(definition)]]);
  let replayed: readonly ActorReplayed[] = [];
  await withGolden(file, async (store, runs) => {
    const all = await past(store, runs.find((run) => run.name === name)?.run ?? "");
    expect(all.length).toBeGreaterThan(2);
    replayed = all.map(({ actor, events }) => replayActor(actor, events, { present: definitions, changed: new Map() }));
  });
  return replayed;
}

async function divergences(
  name: string,
  definition: ActorDefinition,
): Promise<readonly { readonly actor: string; readonly divergence: Divergence }[]> {
  const replayed = await replayedWith(present, name, definition);
  return replayed.flatMap(({ actor, verdict }) => (verdict.type === "departs" ? [{ actor, divergence: verdict.divergence }] : []));
}

describe("a change of a machine that has no new version", () => {
  const machine = childMachine.provide({ guards: { retries: () => false, retriesAndGone: () => false } });
  const child: ActorDefinition = { ...childDefinition, machine };

  it("is found at the first event that it decides otherwise, with what it led to", async () => {
    const [first, ...others] = await divergences("retry", child);
    expect(others).toEqual([]);
    expect(first?.actor).toMatch(/^child:.*\/0$/);
    expect(first?.divergence).toMatchObject({ what: "state", event: "settled", state: { value: "settled", context: { attempt: 1 } } });
    expect(first?.divergence.expected).toMatch(/^[0-9a-f]{32}$/);
    expect(first?.divergence.changes).toContainEqual({ path: "context.attempt", before: 3, after: 1 });
  });

  it("is not found in a run that it does not concern", async () => {
    expect(await divergences("success", child)).toEqual([]);
  });

  it("is found by the outcome of an event that is no longer passed over", async () => {
    const found = await divergences("kill", { ...relayDefinition, ignores: [] });
    expect(
      found.map(({ actor, divergence: { what, event, expected, actual } }) => [actor.split(":")[0], what, event, expected, actual]),
    ).toEqual([["relay", "outcome", "cancel", "ignored", "dead"]]);
  });
});

describe("a journal of an earlier version", () => {
  const earlier = "format-2.sql";

  it("has its children migrated for the comparison, and all others compared as they are", async () => {
    const replayed = await replayedWith(earlier, "lost", childDefinition);
    expect(replayed.map(({ kind, verdict }) => [kind, verdict])).toEqual([
      ["child", { type: "migrated", version: 2 }],
      ["child", { type: "migrated", version: 2 }],
      ["relay", { type: "same" }],
      ["run", { type: "same" }],
    ]);
  });

  it("fails without a migration, with the reason, and with a migration that forgets something, with what it forgot", async () => {
    const none: ActorDefinition = { ...childDefinition, migrations: {} };
    const reason = expect.stringContaining("no migration of child from version 2") as string;
    const [first] = await replayedWith(earlier, "success", none);
    expect(first?.verdict).toEqual({ type: "other-version", version: 2, reason });
    const forgets: ActorDefinition = {
      ...childDefinition,
      migrations: Object.fromEntries(
        Array.from({ length: childDefinition.version }, (_, version) => [version, (snapshot: Json): Json => snapshot]),
      ),
    };
    const [other] = await replayedWith(earlier, "success", forgets);
    expect(other?.verdict).toMatchObject({ type: "departs", divergence: { what: "end", event: "settled" } });
    expect(other?.verdict.type === "departs" && other.verdict.divergence.changes).toContainEqual({ path: "context.stuck", after: null });
  });
});
