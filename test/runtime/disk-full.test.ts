import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Runtime } from "../../runtime/contract.ts";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { eventually, heard, open, origin, recording, smallDisk, spawn } from "./fixture/opened.ts";

const mayMount = process.getuid?.() === 0;
/** As large as what it leaves: a journal that grew as far as it could needs that much to move its tail into the database. */
const BALLAST = 12 * 1024 ** 2;
const NOTE = "x".repeat(50_000);

interface FullDisk {
  readonly mountpoint: string;
  readonly directory: string;
  readonly runtime: Runtime;
  readonly ref: ActorRef;
  readonly accepted: number;
}

/** A journal on a disk that it has filled, with a ballast that can be taken away. `prepare` runs while there is space. */
async function filledDisk(
  prepare: (runtime: Runtime) => Promise<void> = async () => {},
  effects = recording("once").definition,
): Promise<FullDisk> {
  const mountpoint = await smallDisk("24m");
  await writeFile(join(mountpoint, "ballast"), Buffer.alloc(BALLAST));
  const directory = join(mountpoint, "journal");
  const runtime = await open(directory, { effects: [effects] });
  const ref = await spawn(runtime, "a");
  await prepare(runtime);
  let accepted = 0;
  for (; accepted < 1000; accepted++) {
    try {
      await runtime.post(ref, { type: "add", amount: 1, note: NOTE }, origin);
    } catch (error) {
      expect(error).toMatchObject({ code: "JOURNAL_FULL" });
      return { mountpoint, directory, runtime, ref, accepted };
    }
  }
  throw new Error("the disk did not get full");
}

async function isAccepting(runtime: Runtime): Promise<boolean> {
  return runtime.reserve("probe", 1).then(
    () => true,
    (error: unknown) => {
      if (!isCohortError(error, "JOURNAL_FULL")) throw error;
      return false;
    },
  );
}

describe.skipIf(!mayMount)("a full disk (needs root, for a small tmpfs)", () => {
  it("is said, stops acceptance, loses nothing accepted, and passes by itself when there is space", async () => {
    const { mountpoint, directory, runtime, ref, accepted } = await filledDisk();
    const startMs = performance.now();
    await expect(runtime.post(ref, { type: "add", amount: 1 }, origin)).rejects.toMatchObject({ code: "JOURNAL_FULL" });
    expect(performance.now() - startMs).toBeLessThan(100);
    expect(runtime.stats().full).toBe(true);
    await rm(join(mountpoint, "ballast"));
    await eventually("it accepts again", () => isAccepting(runtime));
    expect(runtime.stats().full).toBe(false);
    // The one that was told "not yet written" is written now, once.
    expect(await runtime.get("workers", ref)).toEqual({ count: accepted + 1, heard: [] });
    await runtime.stop();
    const again = await open(directory, { effects: [recording("once").definition] });
    expect(await again.get("workers", ref)).toEqual({ count: accepted + 1, heard: [] });
    expect((await again.readLog(`heard:${ref}`, 0, 1000)).map((row) => row.cursor)).toEqual(
      Array.from({ length: accepted + 1 }, (_, index) => index + 1),
    );
    await again.stop();
  });

  it("does not hold up a cancellation, nor what the cancelled do then: it is durable while the disk is still full", async () => {
    const effect = recording("stop");
    const { directory, runtime } = await filledDisk(async (opened) => {
      for (const id of ["b", "c", "d"]) await spawn(opened, id, "group");
    }, effect.definition);
    await runtime.cancelScope("group", "grace", "enough", origin);
    await eventually("all of them hear it", async () => (await heard(runtime, "worker:d")).includes("cancel"));
    // In a cancelled scope a post needs no mark, nor does the outcome of the effect that it plans.
    await runtime.post("worker:b", { type: "plan", name: "stop", key: "b1" }, origin);
    await eventually("the outcome is taken", async () => (await heard(runtime, "worker:b")).includes("outcome:b1"));
    await runtime.post("worker:c", { type: "close" }, origin);
    expect(await isAccepting(runtime)).toBe(false);
    await runtime.stop();
    const again = await open(directory, { effects: [effect.definition] });
    expect(await heard(again, "worker:b")).toEqual(["cancel", "outcome:b1"]);
    expect([again.knows("worker:c"), effect.ran]).toEqual([true, ["b1"]]);
    await expect(again.post("worker:c", { type: "add", amount: 1 }, origin)).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    await again.stop();
  });

  it("does not hold up a post that takes something back, nor the outcome of its effect; other posts to the same actor wait", async () => {
    const effect = recording("revoke");
    const { runtime } = await filledDisk(async (opened) => void (await spawn(opened, "grant")), effect.definition);
    await expect(runtime.post("worker:grant", { type: "add", amount: 1 }, origin)).rejects.toMatchObject({ code: "JOURNAL_FULL" });
    await runtime.post("worker:grant", { type: "plan", name: "revoke", key: "g1" }, origin, { control: true });
    await eventually("the outcome is taken", async () => (await heard(runtime, "worker:grant")).includes("outcome:g1"));
    expect(await isAccepting(runtime)).toBe(false);
  });

  it("has a reserve that ends: then even these are refused, nothing is lost, and it is refilled when there is space", async () => {
    const { mountpoint, runtime } = await filledDisk(async (opened) => void (await spawn(opened, "b", "group")));
    await runtime.cancelScope("group", "grace", "enough", origin);
    let carried = 0;
    const refused = await (async (): Promise<unknown> => {
      for (; carried < 1000; carried++) {
        try {
          await runtime.post("worker:b", { type: "add", amount: 1, note: NOTE }, origin);
        } catch (error) {
          return error;
        }
      }
      return null;
    })();
    expect(refused).toMatchObject({ code: "JOURNAL_FULL" });
    // Each is 50 KB twice (event and log row).
    expect(carried).toBeGreaterThan(20);
    expect(carried).toBeLessThan(60);
    await rm(join(mountpoint, "ballast"));
    // What was refused last may be written after all: it was told "not written yet".
    await eventually("it accepts again", () => isAccepting(runtime), 15_000);
    const row = (await runtime.get("workers", "worker:b")) as { readonly count: number };
    expect([carried, carried + 1]).toContain(row.count);
  });

  it("at the stop does not hang it, and what was not accepted is not there", async () => {
    const mountpoint = await smallDisk("6m");
    const directory = join(mountpoint, "journal");
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    const post = runtime.post(ref, { type: "add", amount: 1, note: "x".repeat(2_000_000) }, origin).catch((error: unknown) => error);
    await eventually("the disk is full", async () => !(await isAccepting(runtime)));
    await runtime.stop();
    expect(await post).toMatchObject({ code: "JOURNAL_FULL" });
    const again = await open(directory);
    expect(await again.get("workers", ref)).toEqual({ count: 0, heard: [] });
    await again.stop();
  });
});
