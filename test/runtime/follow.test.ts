import { describe, expect, it } from "vitest";
import { FOLLOW_BUFFER_ROWS_MAX } from "../../runtime/kernel/limits.ts";
import { open, origin, spawn, take, temporaryDirectory } from "./fixture/opened.ts";

describe("following a log", () => {
  it("gives rows from the journal first, then live, each once and in order", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const log = `heard:${ref}`;
    const add = (amount: number): Promise<void> => runtime.post(ref, { type: "add", amount }, origin);
    for (let amount = 1; amount <= 50; amount++) await add(amount);
    const following = take(runtime.followLog(log, 10, new AbortController().signal), 90);
    await Promise.all(Array.from({ length: 50 }, (_, index) => add(51 + index)));
    const rows = await following;
    expect(rows.map((row) => row.cursor)).toEqual(Array.from({ length: 90 }, (_, index) => 11 + index));
    expect(rows.map((row) => (row.value as { amount: number }).amount)).toEqual(rows.map((row) => row.cursor));
  });

  it("loses nothing for a reader far slower than the writer, and holds no more than a bounded number of rows for it", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const cursors: number[] = [];
    const reading = (async (): Promise<void> => {
      for await (const row of runtime.followLog(`heard:${ref}`, 0, new AbortController().signal)) {
        cursors.push(row.cursor);
        if (cursors.length % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        if (cursors.length === 6000) return;
      }
    })();
    for (let round = 0; round < 6; round++) {
      await Promise.all(Array.from({ length: 1000 }, () => runtime.post(ref, { type: "add", amount: 1 }, origin)));
    }
    await reading;
    expect(cursors).toEqual(Array.from({ length: 6000 }, (_, index) => index + 1));
  });

  it("catches up when the row that no longer had room was the last one", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const add = (): Promise<void> => runtime.post(ref, { type: "add", amount: 1 }, origin);
    await add();
    const rows = runtime.followLog(`heard:${ref}`, 0, new AbortController().signal)[Symbol.asyncIterator]();
    expect(await rows.next()).toMatchObject({ value: { cursor: 1 } });
    await Promise.all(Array.from({ length: FOLLOW_BUFFER_ROWS_MAX + 1 }, add));
    for (let cursor = 2; cursor <= FOLLOW_BUFFER_ROWS_MAX + 2; cursor++) expect(await rows.next()).toMatchObject({ value: { cursor } });
  });

  it("shows a row only after its commit: a reader that saw it finds it in the journal", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const log = `heard:${ref}`;
    const controller = new AbortController();
    const checked = (async (): Promise<number> => {
      let seen = 0;
      for await (const row of runtime.followLog(log, 0, controller.signal)) {
        const [stored] = await runtime.readLog(log, row.cursor - 1, 1);
        expect(stored).toEqual(row);
        if (++seen === 40) controller.abort();
      }
      return seen;
    })();
    for (let count = 0; count < 40; count++) await runtime.post(ref, { type: "add", amount: count }, origin);
    expect(await checked).toBe(40);
  });

  it("ends when its signal aborts, and rejects when the runtime stops", async () => {
    const runtime = await open(await temporaryDirectory());
    const controller = new AbortController();
    const ended = take(runtime.followLog("empty", 0, controller.signal), 1);
    const broken = take(runtime.followLog("empty", 0, new AbortController().signal), 1);
    setTimeout(() => controller.abort(), 20);
    expect(await ended).toEqual([]);
    await Promise.all([runtime.stop(), expect(broken).rejects.toMatchObject({ code: "CANCELLED" })]);
  });
});

describe("queries", () => {
  it("list rows in key order, page by page, and see deletions", async () => {
    const runtime = await open(await temporaryDirectory());
    for (const id of ["c", "a", "d", "b"]) await spawn(runtime, id);
    const keys = async (options?: { readonly after?: string; readonly limit?: number }): Promise<readonly string[]> =>
      (await runtime.list("workers", options)).map((row) => row.key);
    expect(await keys()).toEqual(["worker:a", "worker:b", "worker:c", "worker:d"]);
    expect(await keys({ limit: 2 })).toEqual(["worker:a", "worker:b"]);
    expect(await keys({ after: "worker:b", limit: 5 })).toEqual(["worker:c", "worker:d"]);
    expect(await runtime.get("workers", "worker:none")).toBeNull();
  });
});
