/** The live view as lines, and as what a terminal makes of them: a small emulator of the few sequences that it may use. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RunEvent, TaskResult } from "../../machines/messages/result.ts";
import { widthOf } from "../../app/cli/text/width.ts";
import { liveLines } from "../../app/cli/view/live-lines.ts";
import { plainLine } from "../../app/cli/view/plain-lines.ts";
import { RunView } from "../../app/cli/view/run-view.ts";
import { Screen } from "../../app/cli/view/screen.ts";
import { styleOf } from "../../app/cli/view/style.ts";
import { summaryText } from "../../app/cli/view/summary.ts";

function resultOf(index: number, fields: Partial<TaskResult> = {}): TaskResult {
  const empty = { bytes: 0, preview: "", truncated: false };
  return {
    index,
    title: `item ${index}`,
    child: "calm-blue-curie",
    attempt: 1,
    status: "succeeded",
    exitCode: 0,
    signal: null,
    detail: "",
    startedAtMs: 0,
    wallMs: 100,
    cpuMs: 1,
    maxRssBytes: 1,
    stdout: empty,
    stderr: empty,
    out: [],
    handle: "k3f9aaaa/0/1",
    outSkipped: [],
    outDirectory: null,
    limitsHit: [],
    denied: [],
    deniedTimes: 0,
    ...fields,
  };
}

const started = (index: number, atMs = 0, attempt = 1): RunEvent => ({
  type: "task-started",
  index,
  attempt,
  child: "calm-blue-curie",
  atMs,
});
const finished = (index: number, fields: Partial<TaskResult> = {}): RunEvent => ({
  type: "task-finished",
  index,
  atMs: 0,
  result: resultOf(index, fields),
});

function viewOf(total: number, events: readonly RunEvent[], title = "wc -l {}"): RunView {
  const view = new RunView("k3f9aaaa", title, total, (index) => `item ${index}`);
  view.apply({ type: "run-started", run: "k3f9aaaa", atMs: 0, total, jobs: 4 });
  for (const event of events) view.apply(event);
  return view;
}

const SGR = /\x1b\[[0-9;]*m/g;
const bare = (line: string): string => line.replace(SGR, "");

describe("the state of the view", () => {
  it("counts each task once, whatever becomes of it", () => {
    const view = viewOf(6, [
      started(0),
      started(1),
      started(2),
      started(1, 5, 2),
      finished(0),
      finished(1, { status: "failed", exitCode: 3 }),
      finished(4, { status: "cancelled" }),
    ]);
    expect(view.counts).toEqual({ total: 6, waiting: 2, running: 1, succeeded: 1, failed: 1, cancelled: 1 });
    expect(view.failures.map((failure) => failure.index)).toEqual([1]);
  });

  it("keeps few failures and few slow tasks of very many", () => {
    const view = viewOf(
      5000,
      Array.from({ length: 5000 }, (_, index) => finished(index, { status: "failed", exitCode: 1, wallMs: index })),
    );
    expect([view.failures.length, view.latestFailures.length, view.slowest.map((task) => task.index)]).toEqual([
      10,
      10,
      [4999, 4998, 4997],
    ]);
  });

  it("takes states and titles from the supervisor for the child that it knows, and for no other", () => {
    const view = viewOf(2, [started(0)]);
    const seen = {
      child: "calm-blue-curie",
      run: "k3f9aaaa",
      index: 0,
      attempt: 1,
      title: "x",
      state: "collecting",
      startedAtMs: 0,
      condition: { type: "stuck", clock: "heartbeat", sinceMs: 7 },
      lastSignAtMs: 7,
      progressAtMs: 7,
      heartbeatAtMs: null,
      progress: { text: "half", fraction: 0.5, atMs: 7 },
      deniedTimes: 0,
    } as const;
    view.observe([
      { ...seen, run: "other000" },
      { ...seen, child: "another", state: "cancelling" },
      { ...seen, index: 1 },
    ]);
    expect(view.running.get(0)).toMatchObject({ state: "running", lastSignAtMs: null });
    view.observe([seen]);
    expect(view.running.get(0)).toMatchObject({ state: "collecting", lastSignAtMs: 7, title: "item 0" });
  });
});

describe("the lines of the view", () => {
  it("say what a person wants to know", () => {
    const view = viewOf(10, [
      started(0),
      finished(0),
      started(1),
      finished(1, { status: "failed", exitCode: 3 }),
      started(2, 1000),
      started(3, 2000, 2),
      finished(4),
      finished(5),
    ]);
    const lines = liveLines(view, { nowMs: 4000, columns: 100, rows: 24, style: styleOf(false) });
    expect(lines.map((line) => line.trimEnd())).toEqual([
      "wc -l {}                                                                                run k3f9aaaa",
      "██████████░░░░░░░░░░░░░░░  4/10  1 failed  2 running  4.0s  1.0/s  about 6.0s left",
      "  calm-blue-curie  item 2                                 running                 3.0s",
      "  calm-blue-curie  item 3                                 running, attempt 2      2.0s",
      "  ✗ item 1  exit 3  k3f9aaaa/1",
    ]);
  });

  it("are never wider than the terminal and never more than fit, with any number of children, titles and sizes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 200 }),
        fc.integer({ min: 3, max: 60 }),
        fc.integer({ min: 0, max: 80 }),
        fc.integer({ min: 0, max: 20 }),
        fc.string({ unit: "binary", maxLength: 60 }),
        fc.constantFrom("none", "grace", "kill"),
        (columns, rows, running, failed, title, cancelling) => {
          const events: RunEvent[] = [
            ...Array.from({ length: running }, (_, index) => started(index)),
            ...Array.from({ length: failed }, (_, index) => finished(100 + index, { status: "failed", title })),
          ];
          if (cancelling !== "none")
            events.push({ type: "run-cancelling", mode: cancelling === "kill" ? "kill" : "grace", reason: "", atMs: 0 });
          const lines = liveLines(viewOf(200, events, title || "x"), { nowMs: 3_000_000, columns, rows, style: styleOf(true) });
          expect(lines.length).toBeLessThanOrEqual(Math.max(4, rows - 1));
          for (const line of lines) {
            expect(widthOf(bare(line))).toBeLessThanOrEqual(columns);
            expect(/\p{Cc}/u.test(bare(line))).toBe(false);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("have their plain form for a pipe", () => {
    const view = viewOf(2, []);
    const lines = [
      { type: "run-started", run: "k3f9aaaa", atMs: 0, total: 2, jobs: 4 } as const,
      started(0),
      started(1, 0, 2),
      { type: "task-retried", index: 1, attempt: 1, status: "failed", detail: "", atMs: 0 } as const,
      finished(0, { detail: "its files are lost" }),
      finished(1, { status: "refused", detail: "no \x1b[2J layer" }),
      { type: "run-cancelling", mode: "grace", reason: "Ctrl-C", atMs: 0 } as const,
    ].map((event) => plainLine(event, view));
    expect(lines).toEqual([
      "cohort: run k3f9aaaa: wc -l {}: 2 tasks, 4 at once\n",
      "cohort: start 0 item 0 (calm-blue-curie)\n",
      "cohort: start 1 item 1 (calm-blue-curie, attempt 2)\n",
      "cohort: retry 1 item 1: attempt 1 ended as failed\n",
      "cohort: ok 0 item 0 0.1s: its files are lost\n",
      "cohort: refused 1 item 1 0.1s: no ␛[2J layer\n",
      "cohort: cancelling (Ctrl-C): waiting until nothing is left\n",
    ]);
  });

  it("end in a summary that names the next command", () => {
    const view = viewOf(4, [
      finished(0, { wallMs: 2000 }),
      finished(1, { status: "failed", exitCode: 3, stderr: { bytes: 9, preview: "boom", truncated: false } }),
      finished(2, { status: "cancelled" }),
    ]);
    view.apply({
      type: "run-finished",
      atMs: 5000,
      status: "cancelled",
      summary: { total: 4, waiting: 1, running: 0, succeeded: 1, failed: 1, cancelled: 1 },
    });
    const text = summaryText(view, { style: styleOf(false), columns: 80, lastLines: new Map([[1, "boom\x1b[2J"]]) });
    expect(text.split("\n")).toEqual([
      "cohort: cancelled; 1 of 4 succeeded, 1 failed, 1 cancelled, 1 not started, in 5.0s  run k3f9aaaa",
      "  ✗ item 1  exit 3: boom␛[2J",
      "    cohort logs k3f9aaaa/1",
      "  to run again what did not succeed: cohort resume k3f9aaaa",
      "",
    ]);
  });
});

/** Knows what Screen may send, and throws at anything else. */
class Emulator {
  readonly columns: number;
  rows: string[] = [""];
  row = 0;
  cursorShown = true;
  wraps = true;
  writes = 0;

  constructor(columns: number) {
    this.columns = columns;
  }

  write(text: string): void {
    this.writes += 1;
    let column = 0;
    for (const [token] of text.matchAll(/\x1b\[\??[0-9;]*[A-Za-z]|\n|\r|[^\x1b\n\r]+/g)) {
      if (token === "\r") column = 0;
      else if (token === "\n") {
        this.row += 1;
        column = 0;
        if (this.rows.length <= this.row) this.rows.push("");
      } else if (token.startsWith("\x1b[") && token.endsWith("A")) this.row -= Number(token.slice(2, -1));
      else if (token === "\x1b[J") this.rows = [...this.rows.slice(0, this.row), (this.rows[this.row] ?? "").slice(0, column)];
      else if (token === "\x1b[K") this.rows[this.row] = (this.rows[this.row] ?? "").slice(0, Math.min(column, this.columns - 1));
      else if (token === "\x1b[?25l") this.cursorShown = false;
      else if (token === "\x1b[?25h") this.cursorShown = true;
      else if (token === "\x1b[?7l") this.wraps = false;
      else if (token === "\x1b[?7h") this.wraps = true;
      else if (token.startsWith("\x1b[?2026")) continue;
      else if (token.startsWith("\x1b")) throw new Error(`unexpected sequence ${JSON.stringify(token)}`);
      else {
        const before = (this.rows[this.row] ?? "").padEnd(column);
        this.rows[this.row] = before.slice(0, column) + token + before.slice(column + token.length);
        column += token.length;
      }
    }
  }
}

describe("the screen", () => {
  it("draws over its old lines, writes once a frame, and nothing for the same frame", () => {
    const terminal = new Emulator(40);
    terminal.write("above\n");
    const screen = new Screen(terminal);
    const frames = [["one", "two"], ["one", "two"], ["longer one", "2", "three"], ["x"]];
    const before = terminal.writes;
    for (const frame of frames) screen.draw(frame);
    expect(terminal.writes - before).toBe(3);
    expect(terminal.rows).toEqual(["above", "x", ""]);
    expect([terminal.cursorShown, terminal.wraps]).toEqual([false, true]);
    screen.close();
    screen.close();
    expect(terminal.rows).toEqual(["above", ""]);
    expect([terminal.cursorShown, terminal.wraps]).toEqual([true, true]);
  });

  it("keeps the last character of a line that fills the terminal", () => {
    const terminal = new Emulator(10);
    new Screen(terminal).draw(["0123456789", "012345678"]);
    expect(terminal.rows).toEqual(["0123456789", "012345678", ""]);
  });

  it("steps aside for what is printed above it, and comes back", () => {
    const terminal = new Emulator(40);
    const screen = new Screen(terminal);
    screen.draw(["view 1", "view 2"]);
    screen.hide();
    screen.draw(["not now"]);
    terminal.write("output\n");
    screen.show();
    expect(terminal.rows).toEqual(["output", "view 1", "view 2", ""]);
    screen.draw(["view 3"]);
    expect(terminal.rows).toEqual(["output", "view 3", ""]);
  });
});
