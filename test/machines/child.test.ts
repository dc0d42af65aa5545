/** The child's statechart, transition by transition: whole actions compared, and what a cancel does in every state. */
import { describe, expect, it } from "vitest";
import type { ActorEvent } from "../../runtime/kernel/actions.ts";
import { childContext, deadlineEffect, reduceChild, timeoutTimer, type ChildContext } from "../../machines/child-context.ts";
import type { ChildEvent, DeadlineParams } from "../../machines/messages/child-events.ts";
import { backoffMs, isRetried, statusOf } from "../../machines/outcome.ts";
import { cleanExit } from "./outcome-model.ts";
import { PureHost, type Act } from "./pure-host.ts";

const CHILD = "child:r1/4";
const NAME = "merry-diligent-turing";
const POLICY = { retries: 0, idempotent: false, timeoutMs: 0 };
const started = { type: "started", policy: POLICY };
const exited = { type: "exited", exit: cleanExit };
const settled = { type: "settled", record: { offset: 12, bytes: 34 }, gone: true };

function child(...events: readonly ActorEvent[]): {
  readonly host: PureHost;
  readonly last: readonly Act[];
  readonly state: () => unknown;
} {
  const host = new PureHost();
  host.spawn(CHILD, { run: "r1", index: 4, counter: 1, atMs: 900 });
  let last: Act[] = [];
  for (const event of events) last = host.deliver(CHILD, event);
  return { host, last, state: () => host.snapshots.get(CHILD)?.value };
}

function effectsOf(actions: readonly Act[]): unknown[] {
  return actions.filter(({ type }) => type === "effect").map(({ params }) => params["name"]);
}

describe("a child", () => {
  it("asks for its sandbox at once, under a key and a name that are its own", () => {
    const { host } = child();
    expect(host.pending).toEqual([
      {
        kind: "effect",
        owner: CHILD,
        name: "sandbox.start",
        key: "r1/4/1/sandbox.start/0",
        params: { run: "r1", index: 4, attempt: 1, name: NAME },
      },
    ]);
    expect(host.rows.get(`children/${NAME}`)).toEqual({
      run: "r1",
      index: 4,
      attempt: 1,
      state: "starting",
      begun: false,
      startedAtMs: 900,
      lastSignAtMs: 900,
    });
  });

  it("takes four events from its start to its end, and sends its result once", () => {
    const first = child(started).last;
    expect(first).toEqual([
      { type: "append", params: { log: "run:r1", value: { type: "task-started", index: 4, attempt: 1, child: NAME, atMs: 1001 } } },
      {
        type: "project",
        params: {
          collection: "children",
          key: NAME,
          value: { run: "r1", index: 4, attempt: 1, state: "running", begun: true, startedAtMs: 1001, lastSignAtMs: 1001 },
        },
      },
    ]);
    const second = child(started, exited).last;
    expect(second).toEqual([
      {
        type: "effect",
        params: {
          name: "sandbox.settle",
          key: "r1/4/1/sandbox.settle/2",
          params: { run: "r1", index: 4, attempt: 1, name: NAME, status: "succeeded", exit: cleanExit, startedAtMs: 1001, endedAtMs: 1002 },
        },
      },
      {
        type: "project",
        params: {
          collection: "children",
          key: NAME,
          value: { run: "r1", index: 4, attempt: 1, state: "collecting", begun: true, startedAtMs: 1001, lastSignAtMs: 1002 },
        },
      },
    ]);
    const { last, host } = child(started, exited, settled);
    const facts = {
      index: 4,
      attempt: 1,
      child: NAME,
      status: "succeeded",
      exitCode: 0,
      signal: null,
      startedAtMs: 1001,
      wallMs: 2,
      cpuMs: 1,
      maxRssBytes: 2048 * 1024,
      stdoutBytes: 3,
      stderrBytes: 0,
      record: { offset: 12, bytes: 34 },
    };
    expect(last).toEqual([
      { type: "send", params: { to: "relay:r1", event: { type: "result", facts, gone: true } } },
      { type: "project", params: { collection: "children", key: NAME, value: null } },
    ]);
    expect(host.snapshots.get(CHILD)?.status).toBe("done");
  });

  it("takes the evidence of a very short command also before the news of its start", () => {
    expect(effectsOf(child(exited).last)).toEqual([]);
    const { last, state } = child(exited, started);
    expect(state()).toBe("collecting");
    expect(effectsOf(last)).toEqual(["sandbox.settle"]);
  });

  it("keeps a timer behind the warden's deadline only where there is a deadline", () => {
    expect(child(started).host.pending.filter(({ kind }) => kind === "timer")).toEqual([]);
    const { host } = child({ ...started, policy: { ...POLICY, timeoutMs: 500 } });
    expect(host.pending.filter(({ kind }) => kind === "timer")).toEqual([{ kind: "timer", owner: CHILD, name: "timeout" }]);
    expect(effectsOf(host.deliver(CHILD, { type: "timer", name: "timeout" }))).toEqual(["sandbox.kill"]);
    host.deliver(CHILD, { type: "exited", exit: { ...cleanExit, cause: "signaled", signal: 9 } });
    expect(host.context(CHILD)["status"]).toBe("timed-out");
  });

  const reach: Record<string, readonly ActorEvent[]> = {
    starting: [],
    running: [started],
    cancelling: [started, { type: "cancel", mode: "grace", reason: "" }],
    collecting: [started, exited],
    destroying: [started, exited, { ...settled, gone: false }],
    waiting: [{ ...started, policy: { ...POLICY, retries: 1 } }, { type: "exited", exit: { ...cleanExit, code: 1 } }, settled],
  };
  const expected: Record<
    string,
    { readonly grace: readonly [string, readonly string[]]; readonly kill: readonly [string, readonly string[]] }
  > = {
    starting: { grace: ["cancelling", ["sandbox.kill"]], kill: ["cancelling", ["sandbox.kill"]] },
    running: { grace: ["cancelling", ["sandbox.signal"]], kill: ["cancelling", ["sandbox.kill"]] },
    cancelling: { grace: ["cancelling", []], kill: ["cancelling", ["sandbox.kill"]] },
    collecting: { grace: ["collecting", []], kill: ["collecting", []] },
    destroying: { grace: ["destroying", []], kill: ["destroying", []] },
    waiting: { grace: ["settled", []], kill: ["settled", []] },
  };
  for (const [state, events] of Object.entries(reach)) {
    for (const mode of ["grace", "kill"] as const) {
      it(`hears a ${mode} cancel in ${state} as often as it comes, and does its part once`, () => {
        const at = child(...events);
        expect(at.state()).toBe(state);
        const cancel = { type: "cancel", mode, reason: "" };
        const [target, effects] = expected[state]?.[mode] ?? ["", []];
        expect([effectsOf(at.host.deliver(CHILD, cancel)), at.state()]).toEqual([effects, target]);
        const again = effectsOf(at.host.deliver(CHILD, cancel));
        if (mode === "grace") expect(again).toEqual([]);
        expect(at.state()).toBe(target);
      });
    }
  }

  it("says in its row that it began also when the start wins against a kill: after a restart its exit is waited for", () => {
    const { host, state } = child({ type: "cancel", mode: "kill", reason: "" }, started);
    expect([state(), host.rows.get(`children/${NAME}`)]).toEqual([
      "cancelling",
      expect.objectContaining({ state: "cancelling", begun: true }),
    ]);
  });

  it("reports a task that was cancelled before its next attempt as what it was", () => {
    const { last } = child(...(reach["waiting"] ?? []), { type: "cancel", mode: "grace", reason: "" });
    expect(last.find(({ type }) => type === "send")?.params["event"]).toMatchObject({
      type: "result",
      facts: { status: "failed", exitCode: 1 },
      gone: true,
    });
  });

  it("delivers what it knows when its content cannot be written five times over", () => {
    const failed = { type: "effectFailed", name: "sandbox.settle", key: "", code: "JOURNAL_FULL", message: "" };
    const { host, state } = child(started, exited);
    for (let tries = 1; tries < 5; tries += 1) {
      expect(host.deliver(CHILD, failed).map(({ type }) => type)).toEqual(["startTimer"]);
      expect(effectsOf(host.deliver(CHILD, { type: "timer", name: "settle" }))).toEqual(["sandbox.settle"]);
    }
    const last = host.deliver(CHILD, failed);
    expect(last[0]?.params["event"]).toMatchObject({ type: "result", facts: { status: "succeeded", record: null }, gone: false });
    expect(state()).toBe("destroying");
  });
});

describe("working time", () => {
  const HOUR_MS = 3_600_000;
  const policy = { retries: 0, idempotent: false, timeoutMs: HOUR_MS };
  const endsAtMs = (context: ChildContext): number => (deadlineEffect(context).params as DeadlineParams).endsAtMs;

  /** Asks, and is answered, again and again: each question stays open for 10 hours. */
  function asking(times: number): {
    readonly context: ChildContext;
    readonly asked: readonly unknown[];
    readonly answered: readonly unknown[];
  } {
    let context = childContext({ run: "r1", index: 4, counter: 1, atMs: 0 });
    const hear = (event: ChildEvent): ChildContext => (context = { ...context, ...reduceChild(context, event) });
    hear({ type: "started", policy, at: 0 });
    const asked: unknown[] = [];
    const answered: unknown[] = [];
    for (let time = 0; time < times; time += 1) {
      const approval = `a${time}`;
      asked.push(endsAtMs(hear({ type: "askOpened", approval, attempt: 1, at: time * 10 * HOUR_MS })));
      answered.push(endsAtMs(hear({ type: "askClosed", approval, attempt: 1, at: (time + 1) * 10 * HOUR_MS })));
    }
    return { context, asked, answered };
  }

  it("stands still while a person is asked, but not longer than one question may stay open, however many there are", () => {
    const { context, asked, answered } = asking(4);
    const latest = 25 * HOUR_MS;
    expect(asked).toEqual([latest, latest, latest, latest]);
    expect(answered).toEqual([11 * HOUR_MS, 21 * HOUR_MS, latest, latest]);
    // The journal's own timer comes a little later, for a warden that said nothing.
    expect(timeoutTimer(context).atMs).toBe(latest + 3000);
  });

  it("has its end at the warden and in the journal from the first question on", () => {
    const host = new PureHost();
    host.spawn(CHILD, { run: "r1", index: 4, counter: 1, atMs: 900 });
    host.deliver(CHILD, { type: "started", policy });
    const acts = host.deliver(CHILD, { type: "askOpened", approval: "a1", attempt: 1 });
    expect(acts.map(({ type, params }) => [type, params["atMs"] ?? params["name"] ?? params["collection"]])).toEqual([
      ["startTimer", 1001 + 25 * HOUR_MS + 3000],
      ["effect", "sandbox.deadline"],
      ["project", "children"],
    ]);
  });
});

describe("the outcome of an attempt", () => {
  it("is read from the evidence, with the supervisor's own doing first", () => {
    const table = [
      ["none", cleanExit, "succeeded"],
      ["none", { ...cleanExit, code: 2 }, "failed"],
      ["none", { ...cleanExit, cause: "signaled", signal: 11 }, "signaled"],
      ["none", { ...cleanExit, cause: "signaled", signal: 9, oomKilled: true }, "out-of-memory"],
      ["none", { ...cleanExit, oomKilled: true }, "succeeded"],
      ["none", { ...cleanExit, code: 137, oomKilled: true }, "out-of-memory"],
      ["none", { ...cleanExit, cause: "signaled", signal: 9, deadlineHit: true }, "timed-out"],
      ["none", { ...cleanExit, cause: "sandbox-died" }, "sandbox-died"],
      ["none", { ...cleanExit, cause: "layer-missing" }, "refused"],
      ["none", { ...cleanExit, cause: "not-started" }, "not-started"],
      ["none", { ...cleanExit, cause: "signaled", signal: 9, leaseExpired: true }, "lost"],
      ["cancelled", cleanExit, "cancelled"],
      ["cancelled", { ...cleanExit, cause: "signaled", signal: 9, leaseExpired: true }, "lost"],
      ["output-limit", { ...cleanExit, cause: "signaled", signal: 9 }, "output-limit"],
    ] as const;
    for (const [intervention, exit, status] of table)
      expect([intervention, exit, statusOf(intervention, exit)]).toEqual([intervention, exit, status]);
  });

  it("is tried again only where another attempt may help, and where it does no harm", () => {
    const retrying = { retries: 2, idempotent: false, timeoutMs: 0 };
    for (const status of ["failed", "signaled", "timed-out", "out-of-memory", "refused", "sandbox-died"] as const)
      expect([1, 2, 3].map((attempt) => isRetried(status, attempt, retrying))).toEqual([true, true, false]);
    for (const status of ["succeeded", "cancelled", "not-started", "output-limit", "unknown", "lost"] as const)
      expect(isRetried(status, 1, retrying)).toBe(false);
    const idempotent = { retries: 0, idempotent: true, timeoutMs: 0 };
    expect([1, 2, 3].map((attempt) => isRetried("unknown", attempt, idempotent))).toEqual([true, true, false]);
    expect(isRetried("failed", 1, idempotent)).toBe(false);
  });

  it("waits longer with each attempt, never longer than half a minute, and not all at the same moment", () => {
    const waits = [1, 2, 3, 4, 20].map((attempt) => backoffMs("r1/4", attempt));
    for (const [at, full] of [200, 400, 800, 1600, 30_000].entries()) {
      expect(waits[at]).toBeGreaterThanOrEqual(full / 2);
      expect(waits[at]).toBeLessThanOrEqual(full);
    }
    expect(new Set(Array.from({ length: 50 }, (_, index) => backoffMs(`r1/${index}`, 5))).size).toBeGreaterThan(45);
  });
});
