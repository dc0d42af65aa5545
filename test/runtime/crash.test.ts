import { spawn as start } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Runtime } from "../../runtime/contract.ts";
import { crashEffects, crashWorker } from "./fixture/crash-driver.ts";
import { eventually, open, temporaryDirectory } from "./fixture/opened.ts";

const KILLS = 12;
const DRIVER = join(import.meta.dirname, "fixture", "crash-driver.ts");

function lines(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  // The kill may have cut the last line: what is not whole was not acknowledged.
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}

async function driveAndKill(directory: string, round: number): Promise<void> {
  const acknowledged = join(directory, "acknowledged.txt");
  const before = lines(acknowledged).length;
  const child = start(process.execPath, [DRIVER, directory, String(round)], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  try {
    await eventually("the driver gets answers", () => lines(acknowledged).length > before + 900, 30_000);
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 150));
  } finally {
    child.kill("SIGKILL");
  }
  expect(await exited).toEqual([null, "SIGKILL"]);
}

/** What each actor's log says it applied: amounts, and how often each effect key surfaced and as what. */
async function applied(
  runtime: Runtime,
): Promise<{ readonly adds: ReadonlyMap<string, number>; readonly outcomes: ReadonlyMap<string, readonly string[]> }> {
  const adds = new Map<string, number>();
  const outcomes = new Map<string, string[]>();
  for (const { key: ref } of await runtime.list("workers")) {
    for (let after = 0; ;) {
      const rows = await runtime.readLog(`heard:${ref}`, after, 10_000);
      for (const row of rows) {
        expect(row.cursor).toBe(++after);
        const event = row.value as { readonly type: string; readonly amount?: number; readonly name?: string; readonly key?: string };
        if (event.type === "add") adds.set(`${ref} ${event.amount}`, (adds.get(`${ref} ${event.amount}`) ?? 0) + 1);
        else {
          const key = `${ref} ${event.type === "outcome" ? event.name : event.key}`;
          outcomes.set(key, [...(outcomes.get(key) ?? []), event.type]);
        }
      }
      if (rows.length === 0) break;
    }
  }
  return { adds, outcomes };
}

describe(`kill -9 of a process in the middle of its work, ${KILLS} times over`, () => {
  it(
    "loses nothing that was acknowledged and applies nothing twice; keyed effects run again, once effects never",
    { timeout: 300_000 },
    async () => {
      const directory = await temporaryDirectory();
      for (let round = 1; round <= KILLS; round++) await driveAndKill(directory, round);
      const runtime = await open(join(directory, "journal"), { definitions: [crashWorker], effects: crashEffects(directory) });
      await eventually("all is settled", () => runtime.stats().pendingEffects === 0 && runtime.stats().queuedEvents === 0, 20_000);
      await runtime.reserve("barrier", 1);
      const { adds, outcomes } = await applied(runtime);
      const acknowledged = lines(join(directory, "acknowledged.txt")).map((line) => line.split(" "));
      const of = (what: string): string[] => acknowledged.filter(([type]) => type === what).map((words) => words.slice(1).join(" "));

      expect(of("add").length).toBeGreaterThan(500);
      expect(of("add").filter((id) => adds.get(id) !== 1)).toEqual([]);
      expect([...adds].filter(([, times]) => times !== 1)).toEqual([]);

      expect(of("effect").length).toBeGreaterThan(50);
      expect(of("effect").filter((id) => outcomes.get(id)?.length !== 1)).toEqual([]);
      expect([...outcomes].filter(([, types]) => types.length !== 1)).toEqual([]);
      const wrongKind = [...outcomes].filter(
        ([key, [type]]) => type !== "outcome" && (type !== "effectUnknown" || !key.includes(" once-")),
      );
      expect(wrongKind).toEqual([]);

      const runs = Map.groupBy(lines(join(directory, "effects.txt")), (key) => key);
      expect([...runs].filter(([key, times]) => key.startsWith("once-") && times.length > 1)).toEqual([]);
      expect([...runs].some(([key, times]) => key.startsWith("keyed-") && times.length > 1)).toBe(true);

      const numbers = of("number");
      expect(new Set(numbers).size).toBe(numbers.length);

      for (const { key, value } of await runtime.list("workers")) {
        const sum = [...adds.keys()].filter((id) => id.startsWith(`${key} `)).reduce((total, id) => total + Number(id.split(" ")[1]), 0);
        expect((value as { readonly count: number }).count).toBe(sum);
      }
      expect(runtime.stats().actors).toBe(4);
      await expect(runtime.spawn("worker:0", null, { origin: { surface: "test", device: "t" } })).resolves.toBe(false);
    },
  );
});
