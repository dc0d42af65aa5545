import { systemEnvironment } from "../../runtime/kernel/environment.ts";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually, heard, open, origin, spawn, temporaryDirectory, worker } from "./fixture/opened.ts";

interface EventRow {
  readonly actor: string;
  readonly cause: string;
  readonly type: string;
  readonly outcome: string;
  readonly detail: string | null;
}

function journaled(directory: string): readonly EventRow[] {
  const database = new DatabaseSync(join(directory, "journal.sqlite"), { readOnly: true });
  try {
    return database
      .prepare("SELECT actor, cause, type, outcome, detail FROM event ORDER BY seq")
      .all()
      .map((row) => ({ ...row }) as unknown as EventRow);
  } finally {
    database.close();
  }
}

describe("an event", () => {
  it("is applied, projected, logged and journaled before post resolves", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "add", amount: 2 }, origin);
    await runtime.post(ref, { type: "add", amount: 3 }, origin);
    expect(await runtime.get("workers", ref)).toEqual({ count: 5, heard: [] });
    expect((await runtime.readLog(`heard:${ref}`, 0, 10)).map((row) => row.cursor)).toEqual([1, 2]);
    await runtime.stop();
    expect(journaled(directory).map((row) => [row.cause, row.type, row.outcome])).toEqual([
      ["spawn", "spawn", "applied"],
      ["post", "add", "applied"],
      ["post", "add", "applied"],
    ]);
  });

  it("carries the time, so that a machine needs no clock, and so does the input of a spawn", async () => {
    const runtime = await open(await temporaryDirectory(), { environment: { ...systemEnvironment, now: () => 4711 } });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "add", amount: 1 }, origin);
    const [row] = await runtime.readLog(`heard:${ref}`, 0, 1);
    expect(row?.value).toEqual({ type: "add", amount: 1, at: 4711 });
  });

  it("that no state takes is a dead letter, journaled and told to who posted it", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await expect(runtime.post(ref, { type: "unheardOf" }, origin)).rejects.toMatchObject({ code: "DEAD_LETTER" });
    await runtime.stop();
    expect(journaled(directory).at(-1)).toEqual({ actor: ref, cause: "post", type: "unheardOf", outcome: "dead", detail: null });
  });

  it("that the definition ignores, or a state declares without doing anything, is no dead letter", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "shrug" }, origin);
    await runtime.post(ref, { type: "nowhere" }, origin);
    await runtime.stop();
    expect(journaled(directory).map((row) => row.outcome)).toEqual(["applied", "ignored", "applied"]);
  });

  it("to an actor that never was, or has ended, is refused", async () => {
    const runtime = await open(await temporaryDirectory());
    await expect(runtime.post("worker:none", { type: "add", amount: 1 }, origin)).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "close" }, origin);
    await expect(runtime.post(ref, { type: "add", amount: 1 }, origin)).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    expect(runtime.stats().actors).toBe(0);
  });

  it("that cannot be JSON is refused at the door", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const event = { type: "add", amount: 1n } as unknown as { readonly type: string };
    await expect(runtime.post(ref, event, origin)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("is refused when too many wait, and none of those that were accepted is lost", async () => {
    const runtime = await open(await temporaryDirectory());
    const ref = await spawn(runtime, "a");
    const results = await Promise.allSettled(Array.from({ length: 9000 }, () => runtime.post(ref, { type: "add", amount: 1 }, origin)));
    const accepted = results.filter((result) => result.status === "fulfilled").length;
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every((result) => (result.reason as { code: string }).code === "MAILBOX_FULL")).toBe(true);
    expect(await runtime.get("workers", ref)).toEqual({ count: accepted, heard: [] });
  });
});

describe("spawning", () => {
  it("answers true once; the same ref again, alive or ended or after a restart, changes nothing", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    expect(await runtime.spawn("worker:a", { self: "worker:a" }, { origin })).toBe(true);
    await runtime.post("worker:a", { type: "add", amount: 1 }, origin);
    expect(await runtime.spawn("worker:a", { self: "worker:a" }, { origin })).toBe(false);
    await runtime.post("worker:a", { type: "close" }, origin);
    expect(await runtime.spawn("worker:a", { self: "worker:a" }, { origin })).toBe(false);
    await runtime.stop();
    const again = await open(directory);
    expect(await again.spawn("worker:a", { self: "worker:a" }, { origin })).toBe(false);
    expect(again.stats().actors).toBe(0);
  });

  it("of a kind that is not registered is refused", async () => {
    const runtime = await open(await temporaryDirectory());
    await expect(runtime.spawn("stranger:a", null, { origin })).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
  });

  it("whose first transition throws fails the actor and tells who asked", async () => {
    const runtime = await open(await temporaryDirectory());
    await expect(runtime.spawn("worker:a", null, { origin })).rejects.toMatchObject({ code: "INTERNAL" });
    const parent = await spawn(runtime, "parent");
    await runtime.post(parent, { type: "begetBroken", ref: "worker:child" }, origin);
    await eventually("the parent hears of it", async () => (await heard(runtime, parent)).includes("actorFailed"));
  });
});

describe("a message between actors", () => {
  it("arrives in the order it was sent", async () => {
    const runtime = await open(await temporaryDirectory());
    const [sender, receiver] = [await spawn(runtime, "sender"), await spawn(runtime, "receiver")];
    const numbers = Array.from({ length: 200 }, (_, index) => index);
    await Promise.all(
      numbers.map((amount) => runtime.post(sender, { type: "tell", to: receiver, event: { type: "add", amount } }, origin)),
    );
    await eventually("all arrived", async () => (await runtime.readLog(`heard:${receiver}`, 0, 1000)).length === 200);
    const rows = await runtime.readLog(`heard:${receiver}`, 0, 1000);
    expect(rows.map((row) => (row.value as { amount: number }).amount)).toEqual(numbers);
  });

  it("that waited in the outbox when the process ended is delivered at the next start, once", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const receiver = await spawn(runtime, "receiver");
    await runtime.post(receiver, { type: "add", amount: 1 }, origin);
    await runtime.stop();
    // What a crash between the two transactions leaves: a message not consumed (id 1000), and one that was, as its high-water mark says.
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec(`UPDATE sequence SET value = 2000; UPDATE actor SET inbox_high = 999 WHERE ref = '${receiver}'`);
    const insert = database.prepare("INSERT INTO outbox VALUES (?, 'worker:sender', ?, ?)");
    insert.run(999, receiver, JSON.stringify({ type: "add", amount: 10 }));
    insert.run(1000, receiver, JSON.stringify({ type: "add", amount: 100 }));
    database.close();
    const again = await open(directory);
    await eventually(
      "the waiting message is applied",
      async () => ((await again.get("workers", receiver)) as { count: number }).count === 101,
    );
    await again.stop();
    const rows = new DatabaseSync(join(directory, "journal.sqlite"));
    expect(rows.prepare("SELECT count(*) AS n FROM outbox").get()?.["n"]).toBe(0);
    rows.close();
  });

  it("to nobody is a dead letter in the journal and stops nothing", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "tell", to: "worker:nobody", event: { type: "add", amount: 1 } }, origin);
    await runtime.post(ref, { type: "add", amount: 1 }, origin);
    await runtime.stop();
    expect(journaled(directory).find((row) => row.actor === "worker:nobody")).toMatchObject({ outcome: "dead", detail: "no such actor" });
  });
});

describe("restarts when an event throws", () => {
  const cases = [
    { restart: "temporary", throws: 1, alive: false, told: true },
    { restart: "transient", throws: 5, alive: true, told: false },
    { restart: "transient", throws: 6, alive: false, told: true },
    { restart: "permanent", throws: 5, alive: true, told: false },
    { restart: "permanent", throws: 6, alive: false, told: true },
  ] as const;
  it.each(cases)("$restart, after $throws throws: alive is $alive, the parent told is $told", async ({ restart, throws, alive, told }) => {
    const directory = await temporaryDirectory();
    const frail = { ...worker, kind: "frail", restart };
    const quick = { strategy: "one-for-one", restartsMax: 5, windowMs: 60_000, delayMsMin: 1, delayMsMax: 1 } as const;
    const runtime = await open(directory, { definitions: [{ ...worker, supervises: quick }, frail] });
    const parent = await spawn(runtime, "parent");
    await runtime.post(parent, { type: "beget", ref: "frail:a" }, origin);
    await runtime.post("frail:a", { type: "add", amount: 7 }, origin);
    for (let count = 0; count < throws; count++) {
      await expect(runtime.post("frail:a", { type: "explode" }, origin)).rejects.toMatchObject({ code: "INTERNAL" });
    }
    const after = runtime.post("frail:a", { type: "add", amount: 1 }, origin);
    if (alive) await after;
    else await expect(after).rejects.toMatchObject({ code: "ACTOR_UNKNOWN" });
    // It begins from its input: what it had counted is gone with the incarnation that threw.
    if (alive) expect(await runtime.get("workers", "frail:a")).toEqual({ count: 1, heard: [] });
    await runtime.stop();
    expect(journaled(directory).filter((row) => row.outcome === "failed")).toHaveLength(throws);
    // Of a supervisor that has none itself the end is known by its row alone.
    const tellers = journaled(directory).filter((row) => row.type === (restart === "temporary" ? "actorFailed" : "escalate"));
    expect(tellers).toHaveLength(told ? 1 : 0);
  });

  it("permanent begins anew when it reaches its end, temporary and transient stay ended", async () => {
    const kinds = ["permanent", "transient", "temporary"] as const;
    const definitions = kinds.map((restart) => ({ ...worker, kind: restart, restart }));
    const runtime = await open(await temporaryDirectory(), { definitions });
    for (const kind of kinds) {
      await runtime.spawn(`${kind}:a`, { self: `${kind}:a` }, { origin });
      await runtime.post(`${kind}:a`, { type: "add", amount: 3 }, origin);
      await runtime.post(`${kind}:a`, { type: "close" }, origin);
    }
    await runtime.post("permanent:a", { type: "add", amount: 1 }, origin);
    expect(await runtime.get("workers", "permanent:a")).toEqual({ count: 1, heard: [] });
    expect(runtime.stats().actors).toBe(1);
  });

  it("is never offered the event again, not even after a restart of the process", async () => {
    const directory = await temporaryDirectory();
    const definitions = [{ ...worker, restart: "transient" as const }];
    const runtime = await open(directory, { definitions });
    const ref = await spawn(runtime, "a");
    await runtime.post(ref, { type: "tell", to: ref, event: { type: "explode" } }, origin);
    await eventually("it threw, and began again", () => runtime.stats().committedEvents === 4);
    await runtime.stop();
    const again = await open(directory, { definitions });
    await again.post(ref, { type: "add", amount: 1 }, origin);
    await again.stop();
    expect(journaled(directory).filter((row) => row.type === "explode")).toHaveLength(1);
  });

  it("changes nothing of an event whose actions cannot be written", async () => {
    const runtime = await open(await temporaryDirectory(), { definitions: [{ ...worker, restart: "transient" }] });
    const ref = await spawn(runtime, "a");
    await expect(runtime.post(ref, { type: "unwritable" }, origin)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await runtime.readLog("never", 0, 10)).toEqual([]);
  });
});

describe("a durable counter", () => {
  it("never gives a number twice, across restarts", async () => {
    const directory = await temporaryDirectory();
    const runtime = await open(directory);
    expect(await Promise.all([runtime.reserve("uid", 3), runtime.reserve("uid", 1), runtime.reserve("other", 1)])).toEqual([1, 4, 1]);
    await runtime.stop();
    const again = await open(directory);
    expect(await again.reserve("uid", 1)).toBe(5);
  });
});
