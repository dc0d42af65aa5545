/** Grants and approvals in the system: given, asked for, answered, taken back, and what crashes and lost connections do to them. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CohortSystem } from "../../actors/cohort-system.ts";
import type { SessionId } from "../../actors/session.ts";
import { approvalAnswerSchema, type AskAnswer, type DirectoryAsk } from "../../machines/messages/approval.ts";
import { grantCreateSchema, type GrantMode, type GrantSummary } from "../../machines/messages/grant.ts";
import type { RunEvent } from "../../machines/messages/result.ts";
import type { RunSpecInput, TaskInput } from "../../machines/messages/task.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const NEVER = new AbortController().signal;

class PermissionBench extends SystemBench {
  readonly place = realpathSync(mkdtempSync(join(tmpdir(), "cohort-grants-")));
  run = "";

  override async close(): Promise<void> {
    await super.close();
    rmSync(this.place, { recursive: true, force: true });
  }

  /** A new directory with a file in it. */
  path(name = "data"): string {
    const path = join(this.place, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "file"), "content");
    return path;
  }

  /** The one child of a new run. */
  async child(task: Partial<TaskInput> & { command?: string[] } = {}, rest: Partial<RunSpecInput> = {}): Promise<SessionId> {
    this.run = await this.start([{ command: ["hang"], ...task }], rest);
    return this.running(0);
  }

  async running(index: number): Promise<SessionId> {
    let found: SessionId | undefined;
    await until(async () => {
      const child = (await this.system.children()).find((one) => one.run === this.run && one.index === index && one.state === "running");
      if (child !== undefined) found = { run: child.run, index, attempt: child.attempt, name: child.child };
      return found !== undefined;
    }, "the child runs");
    if (found === undefined) throw new Error("no child");
    return found;
  }

  give(child: SessionId, path: string, rest: Record<string, unknown> = {}): Promise<GrantSummary> {
    return this.system.grants.create(grantCreateSchema.parse({ child: child.name, path, ...rest }), origin);
  }

  ask(child: SessionId, path: string, mode: GrantMode = "ro", why = "it is needed", signal = NEVER): Promise<AskAnswer> {
    const ask: DirectoryAsk = { path, mode, why };
    return (this.system as CohortSystem).asks.directory(child, ask, signal);
  }

  answer(approval: string, decision: "approve" | "deny", rest: Record<string, unknown> = {}): Promise<unknown> {
    return this.system.approvals.answer(approvalAnswerSchema.parse({ approval, decision, ...rest }), origin);
  }

  async pending(count = 1): Promise<string[]> {
    let ids: string[] = [];
    await until(async () => {
      ids = (await this.system.approvals.list({ answered: false, limit: 100 })).map(({ approval }) => approval);
      return ids.length >= count;
    }, `${count} wait`);
    return ids;
  }

  grantsInWarden(child: SessionId): string[] {
    return [...(this.warden.sandboxes.get(child.name)?.grants.values() ?? [])]
      .filter(({ end }) => end === null)
      .map(({ plan }) => plan.target);
  }

  async endRun(): Promise<RunEvent[]> {
    await this.system.cancelRun(this.run, "kill", "", origin);
    return this.events(this.run);
  }
}

describe("grants and approvals in the system", () => {
  let bench: PermissionBench;
  beforeEach(async () => {
    bench = new PermissionBench();
    await bench.open();
  });
  afterEach(() => bench.close());

  it("gives a living child a directory, names it, and takes it back with what that took", async () => {
    const child = await bench.child();
    const path = bench.path();
    const grant = await bench.give(child, `${path}/`, { reason: "because", ttlMs: 60_000 });
    expect(grant).toMatchObject({
      child: child.name,
      path,
      as: "data",
      mode: "ro",
      state: "active",
      by: "person",
      reason: "because",
      end: null,
    });
    expect(grant.expiresAtMs).toBe((grant.attachedAtMs ?? 0) + 60_000);
    expect((await bench.give(child, path, { mode: "ro" })).as).toBe("data-2");
    expect(bench.grantsInWarden(child)).toEqual(["data", "data-2"]);
    bench.warden.holders = { processesKilled: 3, childKilled: false };
    expect(await bench.system.grants.revoke(grant.grant, false, origin)).toMatchObject({
      state: "ended",
      end: "revoked",
      processesKilled: 3,
      childKilled: false,
    });
    expect(bench.grantsInWarden(child)).toEqual(["data-2"]);
    // Again, it answers how it ended.
    expect(await bench.system.grants.revoke(grant.grant, false, origin)).toMatchObject({ end: "revoked", processesKilled: 3 });
    expect((await bench.system.grants.list({ ended: false, limit: 10 })).map(({ as }) => as)).toEqual(["data-2"]);
    expect(await bench.system.grants.list({ ended: true, limit: 10 })).toHaveLength(2);

    const events = await bench.endRun();
    const told = events.filter(({ type }) => type.startsWith("grant-"));
    expect(told.map((event) => [event.type, "end" in event ? event.end : ""])).toEqual([
      ["grant-attached", ""],
      ["grant-attached", ""],
      ["grant-ended", "revoked"],
      ["grant-ended", "child-ended"],
    ]);
    expect(told[0]).toMatchObject({ path, as: "data", index: 0, attempt: 1 });
    expect(events.at(-1)?.type).toBe("run-finished");
    expect(await bench.system.grants.list({ ended: false, limit: 10 })).toEqual([]);
  });

  it("ends with its time, which the warden keeps", async () => {
    const child = await bench.child();
    const { grant } = await bench.give(child, bench.path(), { ttlMs: 1000 });
    await until(async () => (await bench.system.grants.list({ ended: false, limit: 10 })).length === 0, "it expired", 5000);
    expect(await bench.system.grants.revoke(grant, false, origin)).toMatchObject({ end: "expired" });
    expect(bench.grantsInWarden(child)).toEqual([]);
    await bench.endRun();
  });

  it("refuses what is never given, and what needs a confirmation without it", async () => {
    const child = await bench.child();
    const path = bench.path();
    const link = join(bench.place, "link");
    symlinkSync(path, link);
    const state = realpathSync(bench.directory);
    for (const [wanted, code, rest] of [
      ["/", "GRANT_REFUSED", {}],
      [state, "GRANT_REFUSED", {}],
      [join(state, "journal"), "GRANT_REFUSED", {}],
      [realpathSync(tmpdir()), "GRANT_REFUSED", {}],
      [`${path}/../data`, "GRANT_REFUSED", {}],
      [link, "GRANT_REFUSED", {}],
      [join(link, "file"), "GRANT_REFUSED", {}],
      [join(path, "none"), "MOUNT_REFUSED", {}],
      [path, "GRANT_UNCONFIRMED", { mode: "rw" }],
    ] as const)
      await expect(bench.give(child, wanted, rest), wanted).rejects.toMatchObject({ code });
    expect(await bench.give(child, path, { mode: "rw", acceptUnprotected: true })).toMatchObject({ mode: "rw", state: "active" });
    // A file has no names in it.
    expect(await bench.give(child, join(path, "file"), { mode: "rw" })).toMatchObject({ as: "file" });
    await expect(bench.give(child, path, { as: "file" })).rejects.toThrow(/taken/);
    await expect(bench.give({ ...child, name: "no-such-child" }, path)).rejects.toMatchObject({ code: "CHILD_UNKNOWN" });
    await bench.endRun();
  });

  it("gives a home directory read-only at most, and only when that was confirmed", async () => {
    const home = bench.path("home");
    const before = process.env["HOME"];
    process.env["HOME"] = home;
    try {
      await bench.stop();
      await bench.open();
    } finally {
      process.env["HOME"] = before;
    }
    const child = await bench.child();
    await expect(bench.give(child, home)).rejects.toMatchObject({ code: "GRANT_UNCONFIRMED" });
    await expect(bench.give(child, home, { mode: "rw", acceptHome: true, acceptUnprotected: true })).rejects.toMatchObject({
      code: "GRANT_REFUSED",
    });
    expect(await bench.give(child, home, { acceptHome: true })).toMatchObject({ state: "active" });
    expect(await bench.give(child, bench.path("home/project"), { mode: "staged" })).toMatchObject({ state: "active" });
    await bench.endRun();
  });

  it("asks a person once for what is asked often, and tells everybody who asked", async () => {
    const child = await bench.child({ title: "the task" }, { title: "the run" });
    const path = bench.path();
    const answers = [bench.ask(child, path), bench.ask(child, `${path}/.`), bench.ask(child, path)];
    const [approval = ""] = await bench.pending();
    answers.push(bench.ask(child, path));
    await until(async () => ((await bench.system.approvals.list({ answered: false, limit: 9 }))[0]?.asks ?? 0) >= 2, "it counts");
    expect(await bench.system.approvals.list({ answered: false, limit: 9 })).toMatchObject([
      {
        approval,
        run: bench.run,
        runTitle: "the run",
        title: "the task",
        child: child.name,
        path,
        mode: "ro",
        why: "it is needed",
        earlier: [],
      },
    ]);
    await bench.answer(approval, "approve", { ttlMs: 120_000 });
    const granted = { answer: "granted", path: `/sessions/${child.name}/mnt/data`, mode: "ro" };
    expect(await Promise.all(answers)).toEqual([granted, granted, granted, granted]);
    // What it has is not asked about again.
    expect(await bench.ask(child, path)).toEqual(granted);
    expect(bench.grantsInWarden(child)).toEqual(["data"]);

    await bench.answer(approval, "approve");
    await expect(bench.answer(approval, "deny")).rejects.toMatchObject({ code: "APPROVAL_ANSWERED" });
    await expect(bench.answer("a999", "deny")).rejects.toMatchObject({ code: "APPROVAL_UNKNOWN" });

    const more = bench.ask(child, path, "staged");
    const [second = ""] = await bench.pending();
    expect((await bench.system.approvals.list({ answered: false, limit: 9 }))[0]?.earlier).toMatchObject([
      { mode: "ro", reason: "it is needed" },
    ]);
    await bench.answer(second, "deny", { reason: "not this one" });
    expect(await more).toEqual({ answer: "denied", reason: "not this one" });
    const events = await bench.endRun();
    expect(
      events.filter(({ type }) => type.startsWith("approval-")).map((event) => ("decision" in event ? event.decision : event.type)),
    ).toEqual(["approval-requested", "approved", "approval-requested", "denied"]);
  });

  it("tells a child that asks nothing of this machine", async () => {
    const child = await bench.child();
    const denied = { answer: "denied", reason: "it cannot be given" };
    for (const path of ["/", bench.directory, join(bench.directory, "token")]) expect(await bench.ask(child, path)).toEqual(denied);
    const waiting = [bench.ask(child, join(bench.place, "is-not-there")), bench.ask(child, bench.path())];
    await bench.pending(2);
    const asked = await bench.system.approvals.list({ answered: false, limit: 9 });
    const [first = "", second = ""] = asked.toSorted((one, other) => other.path.length - one.path.length).map(({ approval }) => approval);
    await expect(bench.answer(first, "approve")).rejects.toMatchObject({ code: "MOUNT_REFUSED" });
    await bench.answer(first, "deny");
    await bench.answer(second, "deny");
    expect(await Promise.all(waiting)).toEqual([
      { answer: "denied", reason: "a person said no" },
      { answer: "denied", reason: "a person said no" },
    ]);
    await bench.endRun();
  });

  it("gives less than what was asked for when the person says so, never more", async () => {
    const child = await bench.child();
    const path = bench.path();
    const waiting = bench.ask(child, path, "staged");
    const [approval = ""] = await bench.pending();
    await expect(bench.answer(approval, "approve", { mode: "rw" })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await bench.answer(approval, "approve", { mode: "ro" });
    expect(await waiting).toMatchObject({ answer: "granted", mode: "ro" });
    await bench.endRun();
  });

  it("answers by what was answered with the run, the first that fits", async () => {
    const path = bench.path("a/b");
    const child = await bench.child(
      {},
      {
        preAnswers: [
          { path: join(bench.place, "a/secret"), mode: "ro", decision: "deny" },
          { path: join(bench.place, "a"), mode: "staged", decision: "approve", ttlMs: 60_000 },
          { path: bench.place, mode: "rw", decision: "deny" },
        ],
      },
    );
    expect(await bench.ask(child, bench.path("a/secret/x"))).toMatchObject({ answer: "denied" });
    expect(await bench.ask(child, path, "ro")).toMatchObject({ answer: "granted", mode: "ro" });
    expect(await bench.ask(child, path, "rw")).toMatchObject({ answer: "denied", reason: "answered with the run" });
    const asked = bench.ask(child, bench.path("ab"), "ro");
    const [approval = ""] = await bench.pending();
    await bench.answer(approval, "deny");
    await asked;
    const events = await bench.endRun();
    expect(events.filter(({ type }) => type === "approval-requested")).toHaveLength(1);
    expect(events.filter((event) => event.type === "approval-answered" && event.by === "pre-answer")).toHaveLength(3);
  });

  it("pushes every approval and its answer to who watches", async () => {
    const child = await bench.child();
    const seen: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const { approval } of bench.system.approvals.watch(undefined, stop.signal))
        seen.push(`${approval.path.slice(-1)} ${approval.state}`);
    })();
    const one = bench.ask(child, bench.path("1"));
    const [approval = ""] = await bench.pending();
    await until(() => seen.length === 1, "it is told");
    await bench.answer(approval, "approve");
    await one;
    await until(() => seen.length === 2, "so is its answer");
    stop.abort();
    await watching;
    expect(seen).toEqual(["1 pending", "1 approved"]);
    await bench.endRun();
  });

  it("keeps a question over a stop, and the answer, and what was given", async () => {
    const child = await bench.child();
    const path = bench.path();
    const cut = new AbortController();
    const lost = bench.ask(child, path, "ro", "why", cut.signal);
    const [approval = ""] = await bench.pending();
    cut.abort();
    expect(await lost).toMatchObject({ answer: "denied", reason: "the channel closed" });
    await bench.stop();
    await bench.open();
    expect(await bench.pending()).toEqual([approval]);
    // Its channel is read again from where it was acknowledged.
    const again = bench.ask(child, path, "ro", "why");
    await bench.answer(approval, "approve");
    await bench.stop();
    // The answer stands in the journal; whether this channel heard of it before the stop is open.
    expect([expect.objectContaining({ answer: "granted" }), { answer: "denied", reason: "the channel closed" }]).toContainEqual(
      await again,
    );
    await bench.open();
    expect(await bench.ask(child, path, "ro", "why")).toMatchObject({ answer: "granted" });
    expect(bench.grantsInWarden(child)).toEqual(["data"]);
    const [{ grant } = { grant: "" }] = await bench.system.grants.list({ ended: false, limit: 9 });
    await bench.system.grants.revoke(grant, false, origin);
    expect(bench.grantsInWarden(child)).toEqual([]);
    await bench.endRun();
  });

  it("hears at its next connection what ended while nobody listened", async () => {
    const child = await bench.child();
    const { grant } = await bench.give(child, bench.path(), { ttlMs: 1000 });
    await bench.stop();
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await bench.open();
    await until(async () => (await bench.system.grants.list({ ended: false, limit: 9 })).length === 0, "it is known to have ended");
    expect(await bench.system.grants.revoke(grant, false, origin)).toMatchObject({ end: "expired" });
    await bench.endRun();
  });

  it("leaves nothing attached when a run is cancelled while grants are being attached", async () => {
    const child = await bench.child({ command: ["deaf"] });
    bench.warden.createDelayMs = 100;
    const giving = Promise.allSettled([1, 2, 3].map((number) => bench.give(child, bench.path(String(number)))));
    await new Promise((resolve) => setTimeout(resolve, 60));
    await bench.system.cancelRun(bench.run, "grace", "", origin);
    await giving;
    await until(() => bench.grantsInWarden(child).length === 0, "all are revoked");
    expect(await bench.system.grants.list({ ended: false, limit: 9 })).toEqual([]);
    bench.warden.createDelayMs = 0;
    await bench.endRun();
  });

  it("ends every grant and question of a child whose warden died", async () => {
    const child = await bench.child();
    const { grant } = await bench.give(child, bench.path());
    const asked = bench.ask(child, bench.path("more"));
    await bench.pending();
    bench.warden.replace();
    const events = await bench.events(bench.run);
    expect(await asked).toMatchObject({ answer: "denied" });
    expect(events.at(-1)?.type).toBe("run-finished");
    expect(events.filter((event) => event.type === "approval-answered")).toMatchObject([{ decision: "withdrawn", by: "system" }]);
    expect(await bench.system.grants.revoke(grant, false, origin)).toMatchObject({ end: "child-ended" });
    expect(await bench.system.approvals.list({ answered: false, limit: 9 })).toEqual([]);
  });

  it("asks no second time for what an earlier attempt was given with uses left", async () => {
    const path = bench.path();
    const child = await bench.child({ command: ["sleep", "700", "1"], retries: 2 });
    const asked = bench.ask(child, path);
    const [approval = ""] = await bench.pending();
    await bench.answer(approval, "approve", { uses: 2 });
    await asked;
    await until(
      async () => (await bench.system.children()).some(({ attempt, state }) => attempt === 2 && state === "running"),
      "the next attempt",
    );
    expect(await bench.ask(await bench.running(0), path)).toMatchObject({ answer: "granted" });
    await until(
      async () => (await bench.system.children()).some(({ attempt, state }) => attempt === 3 && state === "running"),
      "the last attempt",
    );
    const third = bench.ask(await bench.running(0), path);
    const [next = ""] = await bench.pending();
    await bench.answer(next, "deny");
    expect(await third).toMatchObject({ answer: "denied" });
    await bench.endRun();
  });

  it("asks a person at most 16 questions of a child at a time, however many it asks at once, and goes on when they are answered", async () => {
    const child = await bench.child();
    const asks = Array.from({ length: 40 }, (_, at) => bench.ask(child, bench.path(`d${at}`)));
    await bench.pending(16);
    const refused = (
      await Promise.all(asks.map((ask) => Promise.race([ask, new Promise<null>((resolve) => setTimeout(resolve, 300, null))])))
    ).filter((answer) => answer !== null);
    expect(refused).toEqual(
      Array.from({ length: 24 }, () => ({ answer: "denied", reason: "too many of its questions wait for an answer" })),
    );
    const waiting = await bench.pending(16);
    expect(waiting).toHaveLength(16);
    await bench.answer(waiting[0] ?? "", "deny");
    const further = bench.ask(child, bench.path("further"));
    await until(
      async () => !(await bench.pending(16)).includes(waiting[0] ?? "") && (await bench.pending(16)).length === 16,
      "one more is asked",
    );
    await bench.endRun();
    await further;
  });

  it("numbers grants one by one, also after a restart", async () => {
    const child = await bench.child();
    expect((await bench.give(child, bench.path("one"))).grant).toBe("g1");
    await bench.stop();
    await bench.open();
    expect((await bench.give(await bench.running(0), bench.path("two"))).grant).toBe("g2");
  });

  it("stops a task's clock while a person is waited for, in the warden too", async () => {
    const child = await bench.child({ command: ["hang"], timeoutMs: 1500 });
    const asked = bench.ask(child, bench.path());
    const [approval = ""] = await bench.pending();
    await until(() => bench.warden.deadlines.length === 1, "the warden's deadline is later");
    const { name, timeoutMs: waitingMs } = bench.warden.deadlines[0] ?? { name: "", timeoutMs: 0 };
    expect(name).toBe(child.name);
    expect(waitingMs).toBeGreaterThan(24 * 3_600_000);
    expect(waitingMs).toBeLessThanOrEqual(24 * 3_600_000 + 1500);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await bench.answer(approval, "approve");
    await asked;
    await until(() => bench.warden.deadlines.length === 2, "it is set again");
    const { timeoutMs } = bench.warden.deadlines[1] ?? { timeoutMs: 0 };
    expect(timeoutMs).toBeGreaterThan(500);
    expect(timeoutMs).toBeLessThanOrEqual(1500);
    expect(await bench.results(bench.run)).toMatchObject([{ status: "timed-out" }]);
  }, 20_000);

  it("keeps paths, reasons and answers out of the journal", async () => {
    const child = await bench.child();
    const path = bench.path("wombat-4711");
    const asked = bench.ask(child, path, "ro", "wombat-4711");
    const [approval = ""] = await bench.pending();
    await bench.answer(approval, "approve", { reason: "wombat-4711" });
    await asked;
    await bench.give(child, path, { reason: "wombat-4711" });
    await bench.endRun();
    await bench.stop();
    for (const file of ["journal.db", "journal.db-wal", "runtime.log"]) {
      const at = join(bench.directory, "journal", file);
      if (statSync(at, { throwIfNoEntry: false }) !== undefined) expect(readFileSync(at).includes("wombat-4711")).toBe(false);
    }
  });
});
