/** Questions below the live view: which key answers what, and what a child cannot do to them. */
import { expect, test } from "vitest";
import { ApprovalPrompt, type ApprovalsPort } from "../../app/cli/follow/approval-prompt.ts";
import { widthOf } from "../../app/cli/text/width.ts";
import { styleOf } from "../../app/cli/view/style.ts";
import type { ApprovalSummary } from "../../machines/messages/approval.ts";
import { CohortError } from "../../runtime/kernel/error.ts";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function approval(id: string, rest: Partial<ApprovalSummary> = {}): ApprovalSummary {
  return {
    approval: id,
    state: "pending",
    run: "k1234567",
    runTitle: "run",
    index: 0,
    attempt: 1,
    child: "serene-vibrant-newton",
    title: "task",
    why: "tests",
    path: "/home/ada/data",
    mode: "ro",
    ttlChoicesMs: [],
    risk: { level: "low", reasons: [] },
    earlier: [],
    asks: 1,
    askedAtMs: 0,
    expiresAtMs: 86_400_000,
    answer: null,
    ...rest,
  };
}

class Desk {
  readonly calls: unknown[][] = [];
  readonly notes: string[] = [];
  refusal: CohortError | null = null;
  readonly #answer = (id: string, state: "approved" | "denied"): Promise<ApprovalSummary> =>
    this.refusal === null
      ? Promise.resolve(approval(id, { state, answer: { by: "person", mode: "ro", ttlMs: 1_800_000, reason: "", atMs: 0, grant: "g1" } }))
      : Promise.reject(this.refusal);
  readonly approvals: ApprovalsPort = {
    watch: async function* () {},
    approve: (id, options) => {
      this.calls.push(["approve", id, ...(options === undefined ? [] : [options])]);
      return this.#answer(id, "approved");
    },
    deny: (id) => {
      this.calls.push(["deny", id]);
      return this.#answer(id, "denied");
    },
  };
  readonly prompt = new ApprovalPrompt({ approvals: this.approvals, note: (text) => this.notes.push(text), changed: () => {} });

  lines(nowMs = 0, columns = 80, rows = 24): readonly string[] {
    return this.prompt.lines({ nowMs, columns, rows, style: styleOf(false) });
  }
}

test("one question is shown at a time, in the order in which they come, and a key answers that one", async () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1"));
  desk.prompt.heard(approval("a2", { mode: "rw", path: "/home/ada/other" }));
  expect(desk.lines()).toEqual([
    "── serene-vibrant-newton asks ──────────────────────────────────── a1, 1 more ──",
    "   read  /home/ada/data",
    "   “tests”",
    "   low risk",
    "   y allow · n deny · d details · l later",
  ]);
  desk.prompt.key("y", 1000);
  await settled();
  expect(desk.lines(1000)[1]).toBe("   change at once  /home/ada/other");
  desk.prompt.key("n", 2000);
  await settled();
  expect(desk.calls).toEqual([
    ["approve", "a1"],
    ["deny", "a2"],
  ]);
  expect(desk.notes).toEqual([
    "cohort: a1: serene-vibrant-newton may read /home/ada/data for 30m (g1)\n",
    "cohort: a2: serene-vibrant-newton is told no: /home/ada/data\n",
  ]);
  expect([desk.prompt.isAsking, desk.lines(3000)]).toEqual([false, []]);
});

test("a key that was on its way when the question came up answers nothing, nor does any other key", () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1"));
  desk.lines(0);
  desk.prompt.key("y", 499);
  for (const key of ["\r", " ", "a", "1", "\x1b"]) desk.prompt.key(key, 5000);
  expect(desk.calls).toEqual([]);
});

test("a key answers nothing while its question is not on the screen, nor in the half second after it came back", () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1"));
  desk.lines(0);
  desk.prompt.unseen();
  desk.prompt.key("y", 5000);
  desk.lines(6000);
  desk.prompt.key("y", 6499);
  expect(desk.calls).toEqual([]);
  desk.prompt.key("y", 6500);
  expect(desk.calls).toEqual([["approve", "a1"]]);
});

test("a question that comes while another is answered is not answered by a second press of the key", async () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1"));
  desk.prompt.heard(approval("a2"));
  desk.lines(0);
  desk.prompt.key("y", 1000);
  desk.prompt.key("y", 1001);
  await settled();
  desk.lines(1010);
  desk.prompt.key("y", 1100);
  expect(desk.calls).toEqual([["approve", "a1"]]);
});

test("a child's words cannot leave their line, move the cursor, or look like a question of ours", () => {
  const desk = new Desk();
  const why = "\x1b[2J\x1b]52;c;x\x07\r\n── a9 ──\u202e y allow · n deny";
  desk.prompt.heard(approval("a1", { why, path: `/home/\x1b[31m\n${"x".repeat(200)}/end` }));
  for (const lines of [desk.lines(), (desk.prompt.key("d", 1000), desk.lines())]) {
    expect(lines.every((line) => /^[^\x00-\x1f\x7f\u202e]*$/.test(line) && widthOf(line) <= 80)).toBe(true);
    expect(lines.filter((line) => line.startsWith("──")).length).toBe(1);
  }
});

test("what needs a confirmation says so, and only the other key gives it", async () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1", { mode: "rw" }));
  desk.lines(0);
  desk.refusal = new CohortError("GRANT_UNCONFIRMED", { on: "names such as .git could be created in it" });
  desk.prompt.key("Y", 900);
  desk.prompt.key("y", 1000);
  await settled();
  expect(desk.lines(1000).join("\n")).toMatch(/\.git could be\n {3}created in it\n {3}Y yes, with that/);
  desk.prompt.key("y", 1500);
  desk.refusal = null;
  desk.prompt.key("Y", 1600);
  expect(desk.calls).toEqual([
    ["approve", "a1"],
    ["approve", "a1", { acceptUnprotected: true, acceptHome: true }],
  ]);
});

test("a question that is answered elsewhere goes away, and one left for later is named with the commands", () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1"));
  desk.lines(0);
  desk.prompt.heard(approval("a1", { state: "withdrawn" }));
  expect(desk.prompt.isAsking).toBe(false);
  desk.prompt.heard(approval("a2"));
  desk.lines(0);
  desk.prompt.key("l", 1000);
  expect([desk.prompt.isAsking, desk.notes]).toEqual([false, ["cohort: a2 waits: cohort approve a2, or cohort deny a2\n"]]);
});

test("a low terminal cuts the details, never the line that says which key does what", () => {
  const desk = new Desk();
  desk.prompt.heard(approval("a1", { why: "word ".repeat(300) }));
  desk.lines(0, 40, 5);
  desk.prompt.key("d", 1000);
  const lines = desk.lines(1000, 40, 5);
  expect([lines.length, lines.at(-1)]).toEqual([5, "   y allow · n deny · d less · l later"]);
});
