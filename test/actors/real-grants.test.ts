/** Grants to living children on the real warden: what the child sees and loses, and what a person gets back from it. */
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CohortSystem } from "../../actors/cohort-system.ts";
import { approvalAnswerSchema } from "../../machines/messages/approval.ts";
import { grantCreateSchema, type GrantSummary } from "../../machines/messages/grant.ts";
import type { TaskInput } from "../../machines/messages/task.ts";
import { PERSON_UID, WardenProcess, wardenUnavailable } from "../vm/warden-process.ts";
import { origin, SystemBench, until } from "./system-bench.ts";

const TITLE = `grants on the real warden${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let warden: WardenProcess;
  let bench: SystemBench;
  let place: string;
  beforeAll(async () => {
    place = realpathSync(mkdtempSync(join(tmpdir(), "cohort-real-grants-")));
    chmodSync(place, 0o755);
    warden = await WardenProcess.start();
    bench = new SystemBench((events) => warden.connect(events));
    await bench.open();
  }, 60_000);
  afterAll(async () => {
    await bench.close();
    await warden.stop();
    rmSync(place, { recursive: true, force: true });
  });

  /** The person's, with a file in it. */
  function directory(name: string): string {
    const path = join(place, name);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "given\n");
    for (const one of [path, join(path, "file")]) chownSync(one, PERSON_UID, PERSON_UID);
    return path;
  }

  async function shell(script: string, rest: Partial<TaskInput> = {}): Promise<{ readonly run: string; readonly child: string }> {
    const run = await bench.start([{ command: ["/bin/sh", "-c", script], ...rest }]);
    let child = "";
    await until(async () => {
      child = (await bench.system.children()).find((one) => one.run === run && one.state === "running")?.child ?? "";
      return child !== "";
    }, "it runs");
    return { run, child };
  }

  function give(child: string, path: string, rest: Record<string, unknown> = {}): Promise<GrantSummary> {
    return bench.system.grants.create(grantCreateSchema.parse({ child, path, ...rest }), origin);
  }

  async function said(run: string, text: string): Promise<void> {
    await until(async () => (await bench.log(run, 0)).includes(text), `it says ${text}`);
  }

  it("shows a running child a directory under its mnt, and takes it back from a process that stands in it", async () => {
    const path = directory("shown");
    const { run, child } = await shell(
      "until cat mnt/shown/file; do sleep 0.05; done 2>/dev/null; (cd mnt/shown; echo inside; exec sleep 60) & wait $!; ls mnt/shown 2>&1; echo end",
    );
    const grant = await give(child, path);
    await said(run, "given\ninside\n");
    expect(await bench.system.grants.revoke(grant.grant, false, origin)).toMatchObject({
      end: "revoked",
      processesKilled: 1,
      childKilled: false,
    });
    const [result] = await bench.results(run);
    expect(result).toMatchObject({ status: "succeeded" });
    expect(result?.stdout.preview).toMatch(/^given\ninside\nls: cannot access 'mnt\/shown': .*\nend\n$/);
  }, 60_000);

  it("ends at its time, to the process that holds it", async () => {
    const path = directory("short");
    const { run, child } = await shell("until cd mnt/short; do sleep 0.05; done 2>/dev/null; echo inside; exec sleep 60");
    await give(child, path, { ttlMs: 1000 });
    expect(await bench.results(run)).toMatchObject([{ status: "signaled", signal: 9 }]);
    expect((await bench.events(run)).filter(({ type }) => type === "grant-ended")).toMatchObject([{ end: "expired", processesKilled: 1 }]);
  }, 60_000);

  it("keeps what a child changed in a staged directory, beyond its revocation and its end, and applies it when told to", async () => {
    const path = directory("staged");
    const { run, child } = await shell(
      "until test -e mnt/staged/file; do sleep 0.05; done; cd mnt/staged; echo more >> file; echo new > added; mkdir .git; echo x > .git/config; echo done; cd; sleep 60",
    );
    const grant = await give(child, path, { mode: "staged" });
    await said(run, "done\n");
    const live = await bench.system.grants.diff(grant.grant, true);
    expect(live.entries.map(({ path: name, change, isProtected }) => [name, change, isProtected])).toEqual(
      expect.arrayContaining([
        ["added", "added", false],
        ["file", "modified", false],
      ]),
    );
    expect(live.patch).toContain("+more");
    expect(await bench.system.grants.revoke(grant.grant, false, origin)).toMatchObject({ end: "revoked", staged: "held" });
    await bench.system.cancelRun(run, "kill", "", origin);
    await bench.results(run);
    expect(readFileSync(join(path, "file"), "utf8")).toBe("given\n");
    const applied = await bench.system.grants.apply(grant.grant, { accept: [], check: false }, origin);
    expect(applied.rest.map(({ outcome }) => outcome)).toContain("protected");
    expect(readFileSync(join(path, "file"), "utf8")).toBe("given\nmore\n");
    expect(readFileSync(join(path, "added"), "utf8")).toBe("new\n");
    expect(existsSync(join(path, ".git"))).toBe(false);
    expect(await bench.system.grants.discard(grant.grant, origin)).toMatchObject({ staged: "discarded" });
  }, 60_000);

  it("collects a task's own staged mount when the task has ended, also when it failed", async () => {
    const path = directory("mounted");
    const { run } = await shell("rm mnt/mounted/file; sleep 0.3; exit 3", { mounts: [{ path, mode: "staged" }] });
    const [result] = await bench.results(run);
    expect(result).toMatchObject({ status: "failed", detail: "" });
    const grant = `${result?.child ?? ""}.1`;
    expect(await bench.system.grants.list({ run, ended: true, limit: 9 })).toMatchObject([
      { grant, by: "task", staged: "held", end: "child-ended" },
    ]);
    expect((await bench.system.grants.diff(grant, false)).entries).toMatchObject([{ path: "file", change: "deleted" }]);
    await bench.system.grants.apply(grant, { accept: [], check: false }, origin);
    expect(existsSync(join(path, "file"))).toBe(false);
  }, 60_000);

  it("keeps what a killed task had changed in a staged directory", async () => {
    const path = directory("killed");
    const { run, child } = await shell("trap '' TERM; echo more >> mnt/killed/file; echo done; while :; do sleep 1; done", {
      mounts: [{ path, mode: "staged" }],
    });
    await said(run, "done\n");
    await bench.system.cancelRun(run, "kill", "", origin);
    expect(await bench.results(run)).toMatchObject([{ status: "cancelled", detail: "" }]);
    expect((await bench.system.grants.diff(`${child}.1`, false)).entries).toMatchObject([{ path: "file", change: "modified" }]);
  }, 60_000);

  it("keeps what a frozen child changed in a staged directory that is taken back, or whose time ends, and it stays frozen", async () => {
    const [taken, timed] = [directory("frozen"), directory("frozen-timed")];
    const { run, child } = await shell(
      "until test -e mnt/frozen/file && test -e mnt/frozen-timed/file; do sleep 0.05; done; echo more | tee -a mnt/frozen/file >> mnt/frozen-timed/file; echo done; while :; do echo tick; sleep 0.02; done",
    );
    const grant = await give(child, taken, { mode: "staged" });
    const { grant: ending } = await give(child, timed, { mode: "staged", ttlMs: 2000 });
    await said(run, "done\n");
    // At once: its grants are being shown, collected or begun in this moment.
    await Promise.all([bench.system.freezeChild(child), bench.system.grants.diff(grant.grant, false)]);
    expect((await bench.system.children()).find((one) => one.child === child)?.condition).toMatchObject({ for: "frozen" });
    expect(await bench.system.grants.revoke(grant.grant, false, origin)).toMatchObject({
      end: "revoked",
      staged: "held",
      childKilled: false,
    });
    await until(
      async () =>
        (await bench.system.grants.list({ run, ended: true, limit: 9 })).some(({ grant: one, end }) => one === ending && end === "expired"),
      "the other one ends",
    );
    for (const one of [grant.grant, ending])
      expect((await bench.system.grants.diff(one, false)).entries).toMatchObject([{ path: "file", change: "modified" }]);
    const before = await bench.log(run, 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await bench.log(run, 0)).toBe(before);
    await bench.system.thawChild(child);
    await until(async () => (await bench.log(run, 0)).length > before.length, "it goes on");
    await bench.system.cancelRun(run, "kill", "", origin);
    await bench.results(run);
  }, 60_000);

  it("brings back what was overwritten in a directory that was given for writing", async () => {
    const path = directory("written");
    const { run, child } = await shell("until echo broken > mnt/written/file; do sleep 0.05; done 2>/dev/null; echo done");
    const grant = await give(child, path, { mode: "rw", acceptUnprotected: true });
    expect(grant.undo).toBe("copied");
    await bench.results(run);
    expect(readFileSync(join(path, "file"), "utf8")).toBe("broken\n");
    expect(await bench.system.grants.undo(grant.grant)).toMatchObject({ applied: 1 });
    expect(readFileSync(join(path, "file"), "utf8")).toBe("given\n");
  }, 60_000);

  it("lets a task wait for a person as long as it takes, and then ends it at its working time", async () => {
    const { run, child } = await shell("sleep 60", { timeoutMs: 2000 });
    const asked = (bench.system as CohortSystem).asks.directory(
      { run, index: 0, attempt: 1, name: child },
      { path: directory("asked"), mode: "ro", why: "" },
      AbortSignal.timeout(30_000),
    );
    await new Promise((resolve) => setTimeout(resolve, 3500));
    const [approval] = await bench.system.approvals.list({ run, answered: false, limit: 9 });
    expect(approval).toMatchObject({ child, state: "pending" });
    const { approval: id = "" } = approval ?? {};
    await bench.system.approvals.answer(approvalAnswerSchema.parse({ approval: id, decision: "approve" }), origin);
    expect(await asked).toEqual({ answer: "granted", path: `/sessions/${child}/mnt/asked`, mode: "ro" });
    const [result] = await bench.results(run);
    expect(result?.status).toBe("timed-out");
    // The warden's own deadline: the journal's timer would come 3 s later.
    expect(result?.wallMs).toBeGreaterThan(4500);
    expect(result?.wallMs).toBeLessThan(7500);
  }, 60_000);
});
