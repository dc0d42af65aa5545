/** Grants over the SDK, with a cohortd and a warden of their own: what a person sees of them, also when cohortd is killed meanwhile. */
import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { Cohort, Run, RunEvent } from "../../sdk/index.ts";
import { collect, eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

vi.setConfig({ testTimeout: 90_000 });

let home: OwnHome;
let cohort: Cohort;

beforeAll(async () => {
  if (ownHomeUnavailable !== null) return;
  process.env["COHORT_LEASE_FREEZE_MS"] = "20000";
  home = OwnHome.make();
  cohort = await home.connect();
});

beforeEach(({ skip }) => skip(ownHomeUnavailable !== null, ownHomeUnavailable ?? ""));

afterAll(async () => {
  if (ownHomeUnavailable === null) await home.end();
});

async function running(script: string): Promise<{ readonly run: Run; readonly child: string }> {
  const run = await cohort.run({ title: "grants", tasks: [{ title: "a", command: ["sh", "-c", script] }] });
  let child = "";
  await eventually(async () => {
    child = (await cohort.children()).find((one) => one.run === run.id && one.state === "running")?.child ?? "";
    return child !== "";
  }, "the child runs");
  return { run, child };
}

function given(): string {
  const path = home.personDirectory();
  writeFileSync(join(path, "file"), "given\n", { mode: 0o644 });
  chownSync(join(path, "file"), home.account.uid, home.account.gid);
  return path;
}

async function events(run: Run): Promise<RunEvent[]> {
  return (await collect(run.events())).map(({ event }) => event);
}

test("a directory reaches a child that runs, and leaves it again; both are events of its run", async () => {
  const path = given();
  const { run, child } = await running(
    "until cat mnt/here/file 2>/dev/null; do sleep 0.05; done; while test -e mnt/here; do sleep 0.05; done; echo gone",
  );
  const grant = await cohort.grants.create({ child, path, as: "here", reason: "to read it" });
  expect(grant).toMatchObject({ child, run: run.id, path, as: "here", mode: "ro", state: "active", by: "person", reason: "to read it" });
  expect((grant.expiresAtMs ?? 0) - (grant.attachedAtMs ?? 0)).toBe(30 * 60_000);
  await eventually(async () => (await logOf(run)).includes("given"), "it was read");
  expect(await cohort.grants.revoke(grant.grant)).toMatchObject({ state: "ended", end: "revoked", childKilled: false });
  expect(await run.finished()).toMatchObject({ counts: { succeeded: 1 } });
  expect((await events(run)).filter(({ type }) => type.startsWith("grant-"))).toMatchObject([
    { type: "grant-attached", grant: grant.grant, path, as: "here" },
    { type: "grant-ended", grant: grant.grant, path, end: "revoked" },
  ]);
  expect(await cohort.grants.list()).toEqual([]);
  expect(await cohort.grants.list({ run: run.id, ended: true })).toHaveLength(1);
});

async function logOf(run: Run): Promise<string> {
  const parts: Buffer[] = [];
  for await (const { bytes } of run.logs(0)) parts.push(Buffer.from(bytes));
  return Buffer.concat(parts).toString();
}

test("a grant survives the death of cohortd, and so does its revocation", async () => {
  const { run, child } = await running("sleep 60");
  const kept = await cohort.grants.create({ child, path: given(), as: "kept" });
  const short = await cohort.grants.create({ child, path: given(), as: "short", ttlMs: 1000 });
  process.kill(cohort.daemon.pid, "SIGKILL");
  await eventually(async () => (await cohort.grants.list({ child })).length === 1, "the short one expired meanwhile");
  expect(await cohort.grants.revoke(short.grant)).toMatchObject({ end: "expired" });
  const revoking = cohort.grants.revoke(kept.grant);
  process.kill(cohort.daemon.pid, "SIGKILL");
  expect(await revoking).toMatchObject({ state: "ended", end: "revoked" });
  await run.cancel("kill");
  expect((await events(run)).filter(({ type }) => type === "grant-ended")).toHaveLength(2);
});

test("what was staged is shown, applied and thrown away, after child and cohortd are gone", async () => {
  const path = given();
  const { run, child } = await running(
    "until test -e mnt/staged/file; do sleep 0.05; done; echo changed > mnt/staged/file; echo said; sleep 0.5",
  );
  const { grant } = await cohort.grants.create({ child, path, as: "staged", mode: "staged" });
  await run.finished();
  process.kill(cohort.daemon.pid, "SIGKILL");
  expect(await cohort.grants.diff(grant, { patch: true })).toMatchObject({ grant, path, entries: [{ path: "file", change: "modified" }] });
  expect(readFileSync(join(path, "file"), "utf8")).toBe("given\n");
  expect(await cohort.grants.apply(grant)).toMatchObject({ applied: 1, rest: [] });
  expect(readFileSync(join(path, "file"), "utf8")).toBe("changed\n");
  expect(await cohort.grants.discard(grant)).toMatchObject({ staged: "discarded" });
});

test("what cannot be is refused with its code, and a frozen child stands still", async () => {
  const { run, child } = await running("while :; do echo tick; sleep 0.02; done");
  const path = given();
  for (const [wanted, code] of [
    [{ child, path: "/" }, "GRANT_REFUSED"],
    [{ child, path: "/etc/shadow" }, "MOUNT_REFUSED"],
    [{ child, path: home.directory }, "GRANT_REFUSED"],
    [{ child, path, mode: "rw" }, "GRANT_UNCONFIRMED"],
    [{ child: "no-such-child", path }, "CHILD_UNKNOWN"],
    [{ child, path: "relative" }, "REQUEST_INVALID"],
  ] as const)
    await expect(cohort.grants.create(wanted), JSON.stringify(wanted)).rejects.toMatchObject({ code });
  await expect(cohort.grants.revoke("g999999")).rejects.toMatchObject({ code: "GRANT_UNKNOWN" });
  await expect(cohort.approvals.approve("a999999")).rejects.toMatchObject({ code: "APPROVAL_UNKNOWN" });
  await cohort.freeze(child);
  await eventually(async () => {
    const before = (await logOf(run)).length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return before === (await logOf(run)).length;
  }, "it stands still");
  const before = (await logOf(run)).length;
  await cohort.thaw(child);
  await eventually(async () => (await logOf(run)).length > before, "it goes on");
  await run.cancel("kill");
  await run.finished();
});

test("a question of a task waits for its answer over the death of cohortd, and the task never knows", async () => {
  const path = given();
  const { run, child } = await running(`where=$(cohort-child request-directory ${path} --mode ro --why "to read") && cat "$where/file"`);
  const asked: string[] = [];
  for await (const { approval, state, ...rest } of cohort.approvals.pending({ run: run.id })) {
    expect({ state, ...rest }).toMatchObject({ state: "pending", child, path, why: "to read", mode: "ro", risk: { level: "low" } });
    asked.push(approval);
    break;
  }
  process.kill(cohort.daemon.pid, "SIGKILL");
  const [approval = ""] = asked;
  expect(await cohort.approvals.approve(approval)).toMatchObject({ approval, state: "approved" });
  expect(await run.finished()).toMatchObject({ counts: { succeeded: 1 } });
  expect(await logOf(run)).toBe("given\n");
  expect((await events(run)).map(({ type }) => type).filter((type) => /^(approval|grant)-/.test(type))).toEqual([
    "approval-requested",
    "approval-answered",
    "grant-attached",
    "grant-ended",
  ]);
});
