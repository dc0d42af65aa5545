/** For programs that ask now and then, and for people who want to know who is stuck: the command line over the real supervisor. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChildSummary, TaskResult } from "../../machines/messages/result.ts";
import { eventually, OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";
import { CohortProcess, type Ended } from "./cohort-process.ts";

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

interface Next {
  readonly type: "next";
  readonly next: number;
  readonly finished: boolean;
}

describe.skipIf(ownHomeUnavailable !== null)("a run, asked for now and then", { timeout: 90_000 }, () => {
  let home: OwnHome;
  beforeAll(() => {
    home = OwnHome.make();
  });
  afterAll(() => home.end(), 60_000);

  const cohort = (...args: string[]): Promise<Ended> => new CohortProcess(args, { home: home.directory, cwd: "/tmp" }).ended();
  const lines = (text: string): unknown[] =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);

  it("comes page by page, each event once, with the cursor to go on from", async () => {
    await cohort("map", "-q", "--no-cwd", "--", "echo", "{}", ":::", "a", "b", "c");
    const seen: unknown[] = [];
    for (let after = 0, pages = 0; ; pages += 1) {
      expect(pages).toBeLessThan(10);
      const page = lines((await cohort("events", "@", "--after", String(after), "--limit", "3", "--json")).stdout);
      const { next, finished } = page.pop() as Next;
      seen.push(...page);
      after = next;
      if (finished) break;
    }
    const whole = lines((await cohort("events", "@", "--json")).stdout);
    expect([...seen, { type: "next", next: seen.length, finished: true }]).toEqual(whole);
    const results = lines((await cohort("results", "@", "--json")).stdout) as (TaskResult & { readonly cursor: number })[];
    const [first, second] = results;
    if (first === undefined || second === undefined) throw new Error("results are missing");
    expect(lines((await cohort("results", "@", "--after", String(first.cursor), "--json")).stdout)).toEqual(results.slice(1));
    expect((await cohort("read", `${second.handle}/stdout`)).stdout).toBe(second.stdout.preview);
    expect((await cohort("read", `${second.handle}/stdout`, "--offset", "1", "--bytes", "1")).stdout).toBe("\n");
    expect(await cohort("read", `${second.handle}/asked.jsonl`)).toMatchObject({ status: 255, stderr: expect.stringContaining("is none") });
    expect(await cohort("events", "@", "--wait", "2m")).toMatchObject({ status: 255, stderr: expect.stringContaining("up to a minute") });
  });

  it("says in ps who is stuck, who is frozen, and how far a task says it is; what is stuck is ended where that was asked for", async () => {
    const client = await home.connect();
    const commands = ["exec sleep 60", "cohort-child progress baking 0.25; sleep 60 & wait", "sleep 60 & wait"];
    const started = await cohort("map", "--detach", "--no-cwd", "--stuck-after", "1s", "--", "sh", "-c", "{}", ":::", ...commands);
    expect(started.status).toBe(0);
    const children = async (): Promise<ChildSummary[]> => (await client.children()).toSorted((one, other) => one.index - other.index);
    await eventually(async () => (await children()).filter(({ state }) => state === "running").length === 3, "they run", 30_000);
    expect((await cohort("freeze", (await children())[2]?.child ?? "")).status).toBe(0);
    await eventually(async () => (await children())[0]?.condition.type === "stuck", "it is stuck", 30_000);
    const table = (await cohort("ps")).stdout;
    expect(table).toMatch(/stuck: no sign of life for/);
    expect(table).toMatch(/ frozen /);
    expect(table).toMatch(/: 25% baking/);
    expect((await cohort("cancel", "@", "--kill")).status).toBe(0);
    const ended = await cohort("map", "--no-cwd", "--stuck-after", "1s", "--on-stuck", "cancel", "--", "sleep", ":::", "60");
    expect([ended.status, ended.stderr]).toEqual([
      1,
      expect.stringMatching(/cohort: stuck 0 .*: no sign of life for [\s\S]*; it is ended\n[\s\S]*its task says to end it then/),
    ]);
  });
});
