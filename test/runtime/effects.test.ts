import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { EffectDefinition } from "../../runtime/contract.ts";
import type { ActorEvent } from "../../runtime/kernel/actions.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { eventually, heard, open, origin, recording, spawn, temporaryDirectory } from "./fixture/opened.ts";

/** An outcome that the test decides. */
function held(): { readonly run: EffectDefinition["run"]; release(event: ActorEvent | null): void; readonly signals: AbortSignal[] } {
  let release: (event: ActorEvent | null) => void = () => undefined;
  const outcome = new Promise<ActorEvent | null>((resolve) => {
    release = resolve;
  });
  const signals: AbortSignal[] = [];
  return {
    run: (_, context) => {
      signals.push(context.signal);
      return Promise.race([
        outcome,
        new Promise<never>((_resolve, reject) => {
          context.signal.addEventListener("abort", () => reject(new CohortError("CANCELLED")));
        }),
      ]);
    },
    release,
    signals,
  };
}

function pendingRows(directory: string): readonly unknown[] {
  const database = new DatabaseSync(join(directory, "journal.sqlite"), { readOnly: true });
  const rows = database.prepare("SELECT asked_key, state FROM effect WHERE state <> 'done' ORDER BY id").all();
  database.close();
  return rows.map((row) => ({ ...row }));
}

describe("an effect", () => {
  it.each(["keyed", "once"] as const)("(%s) runs after the commit, and its outcome is an ordinary event", async (safety) => {
    const directory = await temporaryDirectory();
    const effect = recording("work", { safety });
    const runtime = await open(directory, { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1", params: { x: 1 } }, origin);
    await eventually("the outcome", async () => (await heard(runtime, ref)).length === 1);
    expect(await heard(runtime, ref)).toEqual(["outcome:k1"]);
    expect(effect.ran).toEqual(["k1"]);
    expect(runtime.stats().pendingEffects).toBe(0);
    await runtime.stop();
    expect(pendingRows(directory)).toEqual([]);
    const again = await open(directory, { effects: [effect.definition] });
    await again.post(ref, { type: "nowhere" }, origin);
    expect(effect.ran).toEqual(["k1"]);
  });

  it("that answers null completes without an event", async () => {
    const effect = recording("work", { run: () => Promise.resolve(null), undo: true });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await eventually("it is done", () => runtime.stats().pendingEffects === 0);
    expect(await heard(runtime, ref)).toEqual([]);
    expect(effect.undone).toEqual([]);
  });

  it("that throws becomes effectFailed with the code of a CohortError, or INTERNAL", async () => {
    const known = recording("known", { run: () => Promise.reject(new CohortError("WARDEN_GONE")) });
    const unknown = recording("unknown", {
      run: () => {
        throw new Error("before any promise");
      },
    });
    const runtime = await open(await temporaryDirectory(), { effects: [known.definition, unknown.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "known", key: "k1" }, origin);
    await eventually("the first", async () => (await heard(runtime, ref)).length === 1);
    await runtime.post(ref, { type: "plan", name: "unknown", key: "k2" }, origin);
    await eventually("the second", async () => (await heard(runtime, ref)).length === 2);
    const rows = await runtime.readLog(`heard:${ref}`, 0, 10);
    expect(rows.map((row) => ({ ...(row.value as object), at: 0 }))).toEqual([
      { type: "effectFailed", name: "known", key: "k1", code: "WARDEN_GONE", message: "the warden ended", at: 0 },
      { type: "effectFailed", name: "unknown", key: "k2", code: "INTERNAL", message: "before any promise", at: 0 },
    ]);
  });

  it("whose key was used before does not run, and says so", async () => {
    const effect = recording("work");
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const [first, second] = [await spawn(runtime, "a"), await spawn(runtime, "b")];
    await runtime.post(first, { type: "plan", name: "work", key: "k1" }, origin);
    await runtime.post(second, { type: "plan", name: "work", key: "k1" }, origin);
    await eventually("the refusal", async () => (await heard(runtime, second)).length === 1);
    expect(await heard(runtime, second)).toEqual(["effectFailed:work"]);
    expect(effect.ran).toEqual(["k1"]);
    expect(runtime.stats().pendingEffects).toBe(0);
  });

  it("never runs more at a time than its definition allows", async () => {
    let running = 0;
    let most = 0;
    const effect = recording("work", {
      concurrency: 3,
      run: async (_, context) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running--;
        return { type: "outcome", name: context.key };
      },
    });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await Promise.all(
      Array.from({ length: 30 }, (_, index) => runtime.post(ref, { type: "plan", name: "work", key: `k${index}` }, origin)),
    );
    await eventually("all outcomes", async () => (await heard(runtime, ref)).length === 30);
    expect(most).toBe(3);
    expect(new Set(effect.ran).size).toBe(30);
  });
});

describe("recovery of effects that were pending", () => {
  it("runs keyed ones again, says so, and surfaces once ones as unknown", async () => {
    const directory = await temporaryDirectory();
    const [keyed, once] = [held(), held()];
    const before = [recording("keyed", { run: keyed.run }), recording("once", { safety: "once", run: once.run })];
    const runtime = await open(directory, { effects: before.map((effect) => effect.definition) });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "keyed", key: "k1" }, origin);
    await runtime.post(ref, { type: "plan", name: "once", key: "k2" }, origin);
    await eventually("both run", () => before.every((effect) => effect.ran.length === 1));
    await runtime.stop();
    expect([...keyed.signals, ...once.signals].every((signal) => signal.aborted)).toBe(true);
    expect(pendingRows(directory)).toEqual([
      { asked_key: "k1", state: "planned" },
      { asked_key: "k2", state: "started" },
    ]);
    const after = [recording("keyed"), recording("once", { safety: "once" })];
    const again = await open(directory, { effects: after.map((effect) => effect.definition) });
    await eventually("both surface", async () => (await heard(again, ref)).length === 2);
    expect([...(await heard(again, ref))].toSorted()).toEqual(["effectUnknown:once", "outcome:k1"]);
    expect(after.map((effect) => [effect.ran, effect.recovered])).toEqual([
      [["k1"], ["k1"]],
      [[], []],
    ]);
  });

  it("runs a once effect that was planned and not started, as new", async () => {
    const directory = await temporaryDirectory();
    const blocker = held();
    const before = recording("once", { safety: "once", concurrency: 1, run: blocker.run });
    const runtime = await open(directory, { effects: [before.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "once", key: "k1" }, origin);
    await runtime.post(ref, { type: "plan", name: "once", key: "k2" }, origin);
    await eventually("the first runs", () => before.ran.length === 1);
    await runtime.stop();
    const after = recording("once", { safety: "once" });
    const again = await open(directory, { effects: [after.definition] });
    await eventually("both surface", async () => (await heard(again, ref)).length === 2);
    expect(after.ran).toEqual(["k2"]);
    expect(after.recovered).toEqual([]);
  });

  it("refuses to open when this build does not know a pending effect", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory, { effects: [recording("work", { run: held().run }).definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await runtime.stop();
    await expect(open(directory)).rejects.toMatchObject({ code: "JOURNAL_VERSION" });
  });
});

describe("an effect is undone", () => {
  it("when its actor ended before the outcome", async () => {
    const outcome = held();
    const effect = recording("work", { run: outcome.run, undo: true });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await eventually("it runs", () => effect.ran.length === 1);
    await runtime.post(ref, { type: "close" }, origin);
    expect(effect.undone).toEqual([]);
    outcome.release({ type: "outcome", name: "late" });
    await eventually("it is undone", () => effect.undone.length === 1);
    await eventually("and settled", () => runtime.stats().pendingEffects === 0);
    expect(effect.undone).toEqual(["k1"]);
  });

  it("when the state of its actor does not take the outcome", async () => {
    const effect = recording("work", { run: () => Promise.resolve({ type: "unheardOf" }), undo: true });
    const ignored = recording("ignored", { run: () => Promise.resolve({ type: "shrug" }), undo: true });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition, ignored.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await runtime.post(ref, { type: "plan", name: "ignored", key: "k2" }, origin);
    await eventually("both are undone", () => effect.undone.length === 1 && ignored.undone.length === 1);
  });

  it("never, if it had not started: then it is dropped", async () => {
    const outcome = held();
    const effect = recording("work", { concurrency: 1, run: outcome.run, undo: true });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const [busy, ref] = [await spawn(runtime, "busy"), await spawn(runtime, "a")];
    await runtime.post(busy, { type: "plan", name: "work", key: "k1" }, origin);
    await runtime.post(ref, { type: "plan", name: "work", key: "k2" }, origin);
    await runtime.post(ref, { type: "close" }, origin);
    outcome.release({ type: "outcome", name: "k1" });
    await eventually("nothing is pending", () => runtime.stats().pendingEffects === 0);
    expect(effect.ran).toEqual(["k1"]);
    expect(effect.undone).toEqual([]);
  });

  it("never, if the transition that ended its actor planned it: a farewell runs to its end", async () => {
    const effect = recording("work", { undo: true });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "closeWith", name: "work", key: "k1" }, origin);
    await eventually("nothing is pending", () => runtime.stats().pendingEffects === 0);
    expect(effect.ran).toEqual(["k1"]);
    expect(effect.undone).toEqual([]);
  });

  it("again and again until that succeeds", async () => {
    let attempts = 0;
    const effect = recording("work", {
      run: () => Promise.resolve({ type: "unheardOf" }),
      compensate: () => (++attempts < 3 ? Promise.reject(new Error("not yet")) : Promise.resolve()),
    });
    const runtime = await open(await temporaryDirectory(), { effects: [effect.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await eventually("it is undone", () => attempts === 3 && runtime.stats().pendingEffects === 0);
  });

  it("after a restart, if the process ended between the end of the actor and the undo", async () => {
    const directory = await temporaryDirectory();
    const before = recording("work", { run: held().run, undo: true });
    const runtime = await open(directory, { effects: [before.definition] });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "plan", name: "work", key: "k1" }, origin);
    await eventually("it runs", () => before.ran.length === 1);
    await runtime.post(ref, { type: "close" }, origin);
    await runtime.stop();
    const after = recording("work", { undo: true });
    const again = await open(directory, { effects: [after.definition] });
    await eventually("nothing is pending", () => again.stats().pendingEffects === 0);
    expect([before.undone, after.ran, after.undone]).toEqual([[], [], ["k1"]]);
  });
});
