/** `cohort journal` and `cohort rm` over the real supervisor, warden and children. */
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { filesWith } from "../runtime/fixture/journal-files.ts";
import { CohortProcess, type Ended } from "./cohort-process.ts";

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

const SECRET = "what-nobody-may-find-any-more";

describe.skipIf(ownHomeUnavailable !== null)("cohort journal and cohort rm", { timeout: 120_000 }, () => {
  let home: OwnHome;
  let work = "";
  beforeAll(async () => {
    home = OwnHome.make();
    const directory = home.personDirectory();
    chmodSync(directory, 0o755);
    work = join(directory, "work");
    mkdirSync(work);
    chownSync(work, home.account.uid, home.account.gid);
    writeFileSync(join(work, "a.txt"), "a\n");
  });
  afterAll(() => home.end(), 60_000);

  const cohort = (...args: readonly string[]): Promise<Ended> => new CohortProcess(args, { home: home.directory, cwd: work }).ended();
  const lines = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { stdout } = await cohort(...args);
    return stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const one = async (...args: readonly string[]): Promise<Record<string, unknown>> => (await lines(...args))[0] ?? {};

  it("show what happened, while cohortd runs and when it does not, and verify it", async () => {
    expect((await cohort("map", "-q", "--title", "the first", "--", "echo", "{}", ":::", "one", "two")).status).toBe(0);
    const summary = await cohort("journal");
    expect([summary.status, summary.stderr]).toEqual([0, ""]);
    expect(summary.stdout).toMatch(/^format +3\nsize +[\d.]+ [KM]iB, .+; tail .+\nreserve +4\.0 MiB for cancellations/);
    expect(summary.stdout).toMatch(/\nTABLE +ROWS +SIZE\nevent +\d+ +[\d.]+ KiB\n/);
    const events = await lines("journal", "events", "@/0", "--json");
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(["spawn", "started", "exited", "settled"]) as string[]);
    const [run = ""] = String(events[0]?.["actor"]).slice("child:".length).split("/");
    const finished = await lines("journal", "events", "@", "--type", "childSettled", "--json");
    expect(finished.map(({ actor }) => actor)).toEqual([`run:${run}`, `run:${run}`]);
    const paged = await cohort("journal", "events", "--limit", "3");
    expect(paged.stdout.split("\n")).toHaveLength(5);
    expect(paged.stderr).toMatch(/^cohort: there are more: --after \d+\n$/);
    expect((await cohort("journal", "effects")).stderr).toBe("cohort: no effect is pending\n");
    expect((await cohort("journal", "actor", `child:${run}/0`)).stdout).toMatch(
      /^actor +child:.+\/0\nmachine +child, version \d+\nstatus +done\n/,
    );
    expect((await cohort("journal", "actor", "child:none/0")).stderr).toContain("no such actor: child:none/0");
    const verified = await cohort("journal", "verify");
    expect([verified.status, verified.stderr]).toEqual([0, ""]);
    expect(verified.stdout).toMatch(/content: 2 results and 2 transcripts of 1 runs\neverything is as it was written\n$/);

    expect((await cohort("daemon", "stop")).status).toBe(0);
    const stopped = await cohort("journal");
    expect([stopped.status, stopped.stderr]).toEqual([0, ""]);
    expect(stopped.stdout).toMatch(/^format +3\n/);
    expect(await lines("journal", "events", `${run}/0`, "--json")).toEqual(events);
    const offline = await cohort("journal", "verify");
    expect(offline.stdout).toContain("results and transcripts were not looked at");
    expect(offline.status).toBe(0);
    expect((await one("daemon", "status", "--json"))["running"]).toBe(false);
  });

  it("tell a changed journal from a whole one, with exit status 1", async () => {
    expect((await cohort("daemon", "stop")).status).toBe(0);
    const database = new DatabaseSync(join(home.directory, "journal", "journal.sqlite"));
    const seq = Number(database.prepare("SELECT min(seq) AS seq FROM event WHERE type = 'exited'").get()?.["seq"]);
    const payload = String(database.prepare("SELECT payload FROM event WHERE seq = ?").get(seq)?.["payload"]);
    const change = (to: string): void => void database.prepare("UPDATE event SET payload = ? WHERE seq = ?").run(to, seq);
    change(payload.replace('"code":0', '"code":7'));
    const changed = await cohort("journal", "verify");
    expect([changed.status, changed.stdout.split("\n").at(-2)]).toEqual([1, `event ${seq}: what it says is not what was written`]);
    expect(await one("journal", "verify", "--json")).toMatchObject({ ok: false, events: { problems: [{ seq, what: "content" }] } });
    change(payload);
    database.close();
    expect((await cohort("journal", "verify")).status).toBe(0);
  });

  it("back it up, whole and private, and what was put in its place goes on", async () => {
    const [before] = (await one("ps", "--all", "--json"))["runs"] as [{ readonly run: string }];
    const file = join(work, "journal.backup");
    const backed = await one("journal", "backup", file, "--json");
    expect([statSync(file).mode & 0o777, statSync(file).size, statSync(file).uid]).toEqual([0o600, backed["bytes"], home.account.uid]);
    expect((await cohort("journal", "backup", file)).stderr).toContain("it exists");
    await cohort("map", "-q", "--title", "after the backup", "--", "true", ":::", "x");
    const restored = join(home.directory, "journal", "journal.sqlite");
    await cohort("daemon", "stop");
    const offline = join(work, "offline.backup");
    expect((await one("journal", "backup", offline, "--json"))["bytes"]).toBe(statSync(offline).size);
    expect(statSync(offline).mode & 0o777).toBe(0o600);
    rmSync(`${restored}-wal`, { force: true });
    copyFileSync(file, restored);
    const { runs } = (await one("ps", "--all", "--json")) as { readonly runs: readonly { readonly run: string }[] };
    expect(runs.map(({ run }) => run)).toEqual([before.run]);
    expect((await cohort("journal", "verify")).status).toBe(0);
  });

  it("delete runs that have ended, say what went, and leave nothing of them; a living one is refused", async () => {
    const living = String((await one("map", "--detach", "--json", "--title", "living", "--", "sleep", "{}", ":::", "60"))["run"]);
    expect(
      (await cohort("map", "-q", "--title", SECRET, "--shell", "--", `echo ${SECRET}; echo ${SECRET} > $COHORT_OUT/f`, ":::", "x")).status,
    ).toBe(0);
    const { runs } = (await one("ps", "--all", "--json")) as { readonly runs: readonly { readonly run: string; readonly title: string }[] };
    const run = runs.find(({ title }) => title === SECRET)?.run ?? "";
    expect(filesWith(home.directory, SECRET).length).toBeGreaterThan(2);
    const removed = await cohort("rm", run, living);
    expect([removed.status, removed.stdout]).toEqual([1, ""]);
    expect(removed.stderr).toMatch(
      /^cohort: run \S+ is deleted: \d+ files, [\d.]+ K?i?B, and what the journal says of it\. That it was, and when it went, stays\n/,
    );
    expect(removed.stderr).toMatch(/cohort: the run has not ended: run \S+ is running\n {2}hint: cancel it/);
    expect(filesWith(home.directory, SECRET)).toEqual([]);
    expect(existsSync(join(home.directory, "content", run))).toBe(false);
    expect((await cohort("results", run)).stderr).toMatch(/no such run|the content was deleted/);
    expect((await cohort("journal", "events", `run:${run}`, "--type", "tombstone")).stdout).toMatch(/ deleted +tombstone +applied /);
    expect((await cohort("cancel", living, "--kill")).status).toBe(0);
    expect(await one("rm", living, "--json")).toMatchObject({ run: living, complete: true });
    expect((await cohort("journal", "verify")).status).toBe(0);
  });
});
