import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Erasure, Runtime } from "../../runtime/contract.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { eventually, heard, open, origin, recording, smallDisk, spawn, temporaryDirectory } from "./fixture/opened.ts";
import { filesWith, walked } from "./fixture/journal-files.ts";

const SECRET = "the-word-that-nobody-may-find";
const OTHER = "the-word-of-another-group";
const effect = recording("work");
const nothing = async (): Promise<void> => {};

const erasureOf = (scope: string): Erasure => ({
  scope,
  logs: [`heard:worker:${scope}1`, `heard:worker:${scope}2`],
  projections: [1, 2].map((index) => ({ collection: "workers", key: `worker:${scope}${index}` })),
  put: [{ collection: "deleted", key: scope, value: { when: 1 } }],
});

/** Two actors in a scope that were told the word, in every place where a word can stand, and have ended. */
async function ended(runtime: Runtime, scope: string, word: string): Promise<void> {
  for (const index of [1, 2]) {
    const ref = await spawn(runtime, `${scope}${index}`, scope);
    for (let times = 0; times < 20; times++) await runtime.post(ref, { type: "add", amount: 1, note: `${word} ${times}` }, origin);
    await runtime.post(ref, { type: "plan", name: "work", key: `${ref}/1`, params: { word } }, origin);
    await eventually("its effect is done", async () => (await heard(runtime, ref)).includes(`outcome:${ref}/1`));
    await runtime.post(ref, { type: "tell", to: ref, event: { type: "add", amount: 1, note: word } }, origin);
  }
  await runtime.cancelScope(scope, "grace", word, origin);
  for (const index of [1, 2]) await runtime.post(`worker:${scope}${index}`, { type: "close", note: word }, origin);
  await eventually("nothing is on its way", () => runtime.stats().queuedEvents === 0 && runtime.stats().pendingEffects === 0);
}

async function opened(directory: string): Promise<Runtime> {
  return open(directory, { effects: [effect.definition] });
}

describe("a scope that is deleted", () => {
  it("is gone from every file of the journal, while others are whole, the chain holds, and its names are never used again", async () => {
    const directory = await temporaryDirectory();
    const runtime = await opened(directory);
    await ended(runtime, "gone", SECRET);
    await ended(runtime, "kept", OTHER);
    const before = await walked(runtime);
    expect(filesWith(directory, SECRET)).not.toEqual([]);
    const removed: string[] = [];
    await runtime.erase(erasureOf("gone"), origin);
    expect([await runtime.get("workers", "worker:gone1"), await runtime.get("deleted", "gone")]).toEqual([null, { when: 1 }]);
    await runtime.finishErasing(await runtime.erasing(), async (scope) => void removed.push(scope));
    expect(filesWith(directory, SECRET)).toEqual([]);
    expect([removed, await runtime.erasing()]).toEqual([["gone", "gone"], []]);
    const after = await walked(runtime);
    expect(after).toMatchObject({ events: before.events + 1, problems: [] });
    expect(after.erased).toBeGreaterThan(50);

    expect(await runtime.readLog("heard:worker:gone1", 0, 10)).toEqual([]);
    expect((await runtime.readLog("heard:worker:kept1", 0, 100)).length).toBeGreaterThan(20);
    expect(filesWith(directory, OTHER)).not.toEqual([]);
    expect(await runtime.inspect("actor", { ref: "worker:gone1" })).toMatchObject({ status: "cancelled", snapshot: "" });

    const { events } = await runtime.inspect("events", { of: "gone", type: "tombstone", after: 0, limit: 10 });
    expect(events).toMatchObject([{ actor: "scope:gone", cause: "deleted", source: JSON.stringify(origin), outcome: "applied" }]);
    expect(JSON.parse(events[0]?.payload ?? "null")).toMatchObject({
      scope: "gone",
      events: after.erased,
      commitment: expect.stringMatching(/^.{44}$/) as string,
    });

    expect(await runtime.spawn("worker:gone1", { self: "worker:gone1" }, { origin })).toBe(false);
    const ref = await spawn(runtime, "later");
    await runtime.post(ref, { type: "plan", name: "work", key: "worker:gone1/1" }, origin);
    await eventually("the used key is refused", async () => (await heard(runtime, ref)).includes("effectFailed:work"));
    expect(effect.ran.filter((key) => key === "worker:gone1/1")).toEqual(["worker:gone1/1"]);
    await runtime.stop();
    expect(filesWith(directory, SECRET)).toEqual([]);
    const again = await opened(directory);
    expect([again.knows("worker:gone1"), (await walked(again)).problems]).toEqual([true, []]);
  });

  it("is refused while anything of it lives, or an effect of it is not over", async () => {
    const directory = await temporaryDirectory();
    let release = (): void => {};
    const slow = recording("slow", { run: () => new Promise((resolve) => (release = () => resolve(null))) });
    const runtime = await open(directory, { effects: [slow.definition] });
    const ref = await spawn(runtime, "a", "group");
    await expect(runtime.erase(erasureOf("group"), origin)).rejects.toMatchObject({ code: "SCOPE_ALIVE" });
    await runtime.post(ref, { type: "closeWith", name: "slow", key: "farewell" }, origin);
    await expect(runtime.erase(erasureOf("group"), origin)).rejects.toMatchObject({ code: "SCOPE_ALIVE" });
    release();
    await eventually("the farewell is over", () => runtime.stats().pendingEffects === 0);
    await eventually("and written", () =>
      runtime.erase(erasureOf("group"), origin).then(
        () => true,
        (error: unknown) => !isCohortError(error, "SCOPE_ALIVE"),
      ),
    );
    expect(await runtime.erasing()).toEqual(["group"]);
  });

  it("whose deletion a crash cut off at any of its steps is gone after the next start", async () => {
    const directory = join(await temporaryDirectory(), "journal");
    const runtime = await opened(directory);
    await ended(runtime, "gone", SECRET);
    const copies: string[] = [];
    /** As the disk is now, if the process died. */
    const crash = (step: string): void => {
      const copy = join(`${directory}-${copies.length}`, step);
      mkdirSync(copy, { recursive: true });
      cpSync(directory, copy, { recursive: true });
      copies.push(copy);
    };
    const content = (of: string): string => join(of, "content");
    writeFileSync(content(directory), SECRET);
    await runtime.erase(erasureOf("gone"), origin);
    crash("begun");
    await runtime.finishErasing(["gone"], async () => {
      crash("before the content went");
      rmSync(content(directory), { force: true });
      crash("behind it");
    });
    crash("over");
    await runtime.stop();
    expect(copies).toHaveLength(6);
    for (const copy of copies) {
      const again = await opened(copy);
      await again.finishErasing(await again.erasing(), async () => rmSync(content(copy), { force: true }));
      expect([copy.slice(directory.length), filesWith(copy, SECRET), await again.erasing(), existsSync(content(copy))]).toEqual([
        copy.slice(directory.length),
        [],
        [],
        false,
      ]);
      expect((await walked(again)).problems).toEqual([]);
      const { events } = await again.inspect("events", { type: "tombstone", after: 0, limit: 10 });
      expect(events).toHaveLength(1);
      await again.stop();
    }
  });

  it.skipIf(process.getuid?.() !== 0)(
    "(needs root, for a small tmpfs) is let go of on a full disk, too, once there is room to write that it is gone",
    async () => {
      const mountpoint = await smallDisk("24m");
      await writeFile(join(mountpoint, "ballast"), Buffer.alloc(12 * 1024 ** 2));
      const directory = join(mountpoint, "journal");
      const runtime = await opened(directory);
      await ended(runtime, "gone", SECRET);
      const ref = await spawn(runtime, "filler");
      const full = async (): Promise<boolean> =>
        runtime.post(ref, { type: "add", amount: 1, note: "x".repeat(50_000) }, origin).then(
          () => false,
          (error: unknown) => isCohortError(error, "JOURNAL_FULL"),
        );
      await eventually("the disk is full", full, 20_000);
      await runtime.erase(erasureOf("gone"), origin);
      expect(await runtime.get("workers", "worker:gone1")).toBe(null);
      await expect(runtime.finishErasing(["gone"], nothing)).rejects.toMatchObject({ code: "JOURNAL_FULL" });
      expect(await runtime.erasing()).toEqual(["gone"]);
      await rm(join(mountpoint, "ballast"));
      await eventually("it accepts again", async () => !(await full()), 20_000);
      await runtime.finishErasing(["gone"], nothing);
      expect(filesWith(directory, SECRET)).toEqual([]);
      await runtime.stop();
    },
  );
});

describe("retention", () => {
  it("removes old facts of what was deleted, in any order of the runs; the chain holds across the gaps, and the file shrinks", async () => {
    const directory = await temporaryDirectory();
    const runtime = await opened(directory);
    const scopes = ["one", "two", "three", "four"];
    for (const scope of scopes) await ended(runtime, scope, `${SECRET} ${"x".repeat(20_000)}`);
    await spawn(runtime, "living");
    await runtime.finishErasing([], nothing);
    const bytesBefore = (await runtime.inspect("summary", { measure: false })).bytes;
    const all = (await walked(runtime)).events;
    let removed = 0;
    for (const [round, scope] of ["two", "four", "one"].entries()) {
      await runtime.erase(erasureOf(scope), origin);
      await runtime.finishErasing([scope], nothing);
      expect(await runtime.sweep(0)).toBe(0);
      removed += await runtime.sweep(Date.now() + 1000);
      const walk = await walked(runtime);
      expect(walk).toMatchObject({ problems: [], removed, erased: 0, events: all + round + 1 - removed });
      expect(walk.gaps).toBeLessThanOrEqual(3);
    }
    const summary = await runtime.inspect("summary", { measure: true });
    expect(summary.bytes).toBeLessThan(bytesBefore / 2);
    expect(summary.freeBytes).toBeLessThan(100_000);
    expect(summary.events.removed).toBe(removed);
    expect(await runtime.post("worker:living", { type: "add", amount: 1 }, origin)).toBe(undefined);
    await runtime.stop();
    const again = await opened(directory);
    expect((await walked(again)).problems).toEqual([]);
    expect(["worker:one1", "worker:two1", "worker:three1"].map((ref) => again.knows(ref as `worker:${string}`))).toEqual([
      true,
      true,
      true,
    ]);
  });
});
