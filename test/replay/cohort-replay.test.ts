/** `cohort replay` over a real run, with machines of a person's own project. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMachine } from "xstate";
import { machinesOf } from "../../app/cli/replay/machine-file.ts";
import { CohortProcess, type Ended } from "../cli/cohort-process.ts";
import { OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

const root = dirname(dirname(import.meta.dirname));

if (ownHomeUnavailable !== null) console.log(`skipped: ${ownHomeUnavailable}`);

/** In the person's own words, with the person's own xstate. */
const RELAY = `import { setup } from "xstate";
const house = setup({
  types: { context: {} as { run: string; delivered: number } },
  actions: { append: (_: unknown, _params: object) => {}, send: (_: unknown, _params: object) => {} },
});
export default house.createMachine({
  id: "relay",
  context: ({ input }: any) => ({ run: input.run, delivered: 0 }),
  initial: "open",
  states: {
    open: {
      on: {
        result: {
          actions: [
            house.assign({ delivered: ({ context }) => context.delivered + 1 }),
            { type: "append", params: ({ context, event }: any) => ({ log: "run:" + context.run, value: { type: "task-finished", atMs: event.at, facts: event.facts } }) },
            { type: "send", params: ({ context, event }: any) => ({ to: "run:" + context.run, event: { type: "childSettled", index: event.facts.index, status: EXPRESSION, gone: event.gone } }) },
          ],
        },
        close: "closed",
      },
    },
    closed: { type: "final" },
  },
});
`;

describe.skipIf(ownHomeUnavailable !== null)("cohort replay", { timeout: 90_000 }, () => {
  let home: OwnHome;
  let project = "";

  const cohort = async (args: readonly string[]): Promise<Ended> => {
    const ended = await new CohortProcess(args, { home: home.directory, cwd: project }).ended();
    return { ...ended, stdout: Buffer.from(ended.stdout, "latin1").toString() };
  };
  const file = (name: string, text: string): string => {
    writeFileSync(join(project, name), text);
    return name;
  };

  beforeAll(async () => {
    home = OwnHome.make();
    project = home.personDirectory();
    mkdirSync(join(project, "node_modules"));
    cpSync(join(root, "node_modules/xstate"), join(project, "node_modules/xstate"), { recursive: true });
    const words = [
      "map",
      "-q",
      "--no-cwd",
      "--retries",
      "1",
      "--title",
      "a\u001b[2Jb",
      "--shell",
      "--",
      "test {} != b",
      ":::",
      "a",
      "b",
      "c",
    ];
    expect(await cohort(words)).toEqual({ status: 1, stdout: "", stderr: "" });
  }, 90_000);
  afterAll(() => home.end(), 60_000);

  it("proves that a run went as its machines say", async () => {
    const { status, stdout, stderr } = await cohort(["replay", "@"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^run [a-z0-9]{8} “a␛\[2Jb”\n\nKIND {3}ACTORS {2}EVENTS {2}STATES {2}REPLAY\n/);
    expect(stdout).toMatch(/\nrun {9}1 +\d+ +\d+ {2}same\nrelay {7}1 +5 +\d+ {2}same\nchild {7}3 +\d+ +\d+ {2}same\n/);
    expect(stdout).toMatch(/\n✓ the same: 5 actors, \d+ events, \d+ states compared with the journal\n$/);
  });

  it("tells programs of each actor, then of all", async () => {
    const { status, stdout } = await cohort(["replay", "last", "--json"]);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([status, lines.length]).toEqual([0, 6]);
    const { run } = lines[5] ?? {};
    const events = lines.slice(0, 5).map((line) => Number(line["events"]));
    expect(lines.slice(0, 5).map(({ type, actor, kind, verdict }) => ({ type, actor, kind, verdict }))).toEqual(
      [`child:${String(run)}/0`, `child:${String(run)}/1`, `child:${String(run)}/2`, `relay:${String(run)}`, `run:${String(run)}`].map(
        (actor) => ({
          type: "actor",
          actor,
          kind: actor.split(":")[0],
          verdict: { type: "same" },
        }),
      ),
    );
    expect(lines[5]).toMatchObject({
      type: "replay",
      same: true,
      actors: 5,
      events: events.reduce((sum, one) => sum + one, 0),
      departs: 0,
    });
  });

  it("shows where a changed guard departs, with both states and both plans", async () => {
    const path = file(
      "child.ts",
      `import { childMachine } from ${JSON.stringify(join(root, "machines/child.ts"))};\nexport const child = childMachine.provide({ guards: { retries: () => false, retriesAndGone: () => false } });\n`,
    );
    const { status, stdout, stderr } = await cohort(["replay", "@", "--what-if", path]);
    expect([status, stderr]).toEqual([1, ""]);
    expect(stdout).toMatch(/\nchild +3 +\d+ +\d+ {2}same {4}1 would depart\n/);
    expect(stdout).toMatch(/\n✗ child:[a-z0-9]+\/1 would depart at event \d+, settled, [\d:.]{12}\n/);
    expect(stdout).toMatch(/\n {6}value +"waiting" → "settled"\n/);
    expect(stdout).toMatch(/\n {6}- startTimer retry [\d:.]{12}\n {6}\+ send relay:[a-z0-9]+ \{"type":"result"/);
    expect(stdout).toMatch(/\n✓ the same: 5 actors, [^\n]*\n✗ what if child were changed: 1 of 3 actors would depart; [^\n]*\n$/);
  });

  it("runs a machine that was written with another copy of xstate, in this process", async () => {
    const same = await cohort(["replay", "@", "--what-if", file("relay.ts", RELAY.replace("EXPRESSION", "event.facts.status"))]);
    expect([same.status, same.stderr]).toEqual([0, ""]);
    expect(same.stdout).toMatch(/\n✓ what if relay were changed: 1 actor would go the same way, with the same actions\n$/);
    const other = await cohort(["replay", "@", "--json", "--what-if", file("other.ts", RELAY.replace("EXPRESSION", '"succeeded"'))]);
    const lines = other.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([other.status, lines.at(-1)]).toEqual([
      1,
      expect.objectContaining({ same: true, whatIf: { kinds: ["relay"], actors: 1, departs: 1 } }),
    ]);
    expect(lines.find(({ kind }) => kind === "relay")).toMatchObject({
      departure: {
        event: "result",
        changes: [],
        present: { actions: [{ type: "append" }, { type: "send", event: { index: 1, status: "failed" } }] },
        changed: { actions: [{ type: "append" }, { type: "send", event: { index: 1, status: "succeeded" } }] },
      },
    });
  });

  it("ends at the tombstones of a run that was deleted, cleanly", async () => {
    const summary = (await cohort(["replay", "@", "--json"])).stdout.trimEnd().split("\n").at(-1) ?? "";
    const { run } = JSON.parse(summary) as { readonly run: string };
    const detached = await cohort(["map", "-q", "--no-cwd", "--", "true", ":::", "x"]);
    expect(detached.status).toBe(0);
    expect((await cohort(["rm", run])).status).toBe(0);
    const { status, stdout, stderr } = await cohort(["replay", run]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/\nchild +3 +0 +0 {2}all: ends at its tombstone\n/);
    expect(stdout).toMatch(/\n! deleted: its events were deleted, so the replay ends at their tombstones; nothing is left to compare\n$/);
    expect((await cohort(["replay", "@"])).stdout).toMatch(/\n✓ the same: 3 actors, /);
  });

  it("says what is wrong with a file that has no machine for it", async () => {
    const wrong = async (name: string, text: string): Promise<string> => {
      const { status, stdout, stderr } = await cohort(["replay", "@", "--what-if", file(name, text)]);
      expect([name, status, stdout]).toEqual([name, 255, ""]);
      return stderr.split("\n")[0] ?? "";
    };
    expect(await wrong("number.ts", "export const child = 7;")).toBe(
      "cohort: there is no machine to replay with: number.ts: it exports child, none of them a machine",
    );
    expect(await wrong("broken.ts", 'import "nowhere-to-be-found";')).toMatch(
      /: broken.ts cannot be loaded: Cannot find package 'nowhere-to-be-found'/,
    );
    expect(await wrong("dragon.ts", 'import { createMachine } from "xstate";\nexport const dragon = createMachine({});')).toMatch(
      /: no actor of a run is of kind dragon; there are run, relay, child, grant, approval$/,
    );
    const { status, stderr } = await cohort(["replay", "nosuchrun"]);
    expect([status, stderr.split("\n")[0]]).toEqual([255, "cohort: no such run: nosuchrun"]);
  });
});

describe("a module with changed machines", () => {
  const one = createMachine({ id: "child" });
  const other = createMachine({ id: "child" });

  it("names the actor by the export, by the definition's kind, or where it is the default by the machine's id", () => {
    const found = [{ kind: "child", machine: one }];
    for (const exported of [
      { child: one },
      { childMachine: one },
      { default: one },
      { mine: { kind: "child", machine: one } },
      { child: one, default: one },
    ])
      expect([Object.keys(exported), machinesOf("x.ts", { ...exported, limit: 3 })]).toEqual([Object.keys(exported), found]);
    expect(machinesOf("x.ts", { run: one, child: other }).map(({ kind }) => kind)).toEqual(["run", "child"]);
  });

  it("is refused with the reason when it has none, or two of a kind", () => {
    expect(() => machinesOf("x.ts", {})).toThrow("there is no machine to replay with: x.ts: it exports nothing");
    expect(() => machinesOf("x.ts", { child: { transition: 1 }, run: null })).toThrow(
      "x.ts: it exports child, run, none of them a machine",
    );
    expect(() => machinesOf("x.ts", { child: one, childMachine: other })).toThrow("x.ts exports two machines of kind child");
  });
});
