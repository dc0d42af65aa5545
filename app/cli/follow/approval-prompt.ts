/**
 * The questions of a followed run's children, below its live view, answered with one key.
 * Owns: the queue of questions, which of them is shown, the answers under way. Does not own: the screen, the terminal's keys.
 * P1 what is shown comes from cohortd; a child's words stand in it between quotation marks, neutralised. What children print stands above, and
 *    is never read.
 * P2 a key answers the question that was on the screen for SETTLE_MS at least: one that pops up under a finger is not answered by it.
 * P3 a question that is answered elsewhere, or whose child has ended, goes away by itself.
 */
import type { ApprovalSummary } from "../../../machines/messages/approval.ts";
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { ApproveOptions } from "../../../sdk/index.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { truncate } from "../text/width.ts";
import { answeredText, askHeading, askLines, detailLines, wrap, type Sheet } from "../view/permission-text.ts";

/** What answers need of the SDK's Approvals. */
export interface ApprovalsPort {
  watch(options: { readonly run: string; readonly signal: AbortSignal }): AsyncIterable<ApprovalSummary>;
  approve(approval: string, options?: ApproveOptions): Promise<ApprovalSummary>;
  deny(approval: string, reason?: string): Promise<ApprovalSummary>;
}

export interface PromptOptions {
  readonly approvals: ApprovalsPort;
  /** A line of ours above the view. */
  readonly note: (text: string) => void;
  readonly changed: () => void;
}

const SETTLE_MS = 500;

export class ApprovalPrompt {
  readonly #options: PromptOptions;
  readonly #questions = new Map<string, ApprovalSummary>();
  #shown: string | null = null;
  #shownAtMs = 0;
  #detailed = false;
  #answering = false;
  #problem = "";
  /** The person has to say more than yes. */
  #confirms = false;
  readonly #later = new Set<string>();

  constructor(options: PromptOptions) {
    this.#options = options;
  }

  get isAsking(): boolean {
    return this.#current() !== undefined;
  }

  /** Until the signal aborts. A lost connection to cohortd ends the questions, not the run's view. */
  async listen(run: string, signal: AbortSignal): Promise<void> {
    try {
      for await (const approval of this.#options.approvals.watch({ run, signal })) this.heard(approval);
    } catch (error) {
      if (!signal.aborted) this.#options.note(`cohort: questions of children are not shown any more: ${text(error)}\n`);
    }
  }

  heard(approval: ApprovalSummary): void {
    if (approval.state === "pending") this.#questions.set(approval.approval, approval);
    else this.#forget(approval.approval);
    this.#options.changed();
  }

  /** A key as the terminal sent it. */
  key(key: string, nowMs = Date.now()): void {
    const approval = this.#current();
    if (approval === undefined || this.#shown !== approval.approval || this.#answering || nowMs - this.#shownAtMs < SETTLE_MS) return;
    const { approvals } = this.#options;
    switch (key) {
      case "y":
        if (!this.#confirms) this.#answer(approval, approvals.approve(approval.approval));
        break;
      case "Y":
        if (this.#confirms) this.#answer(approval, approvals.approve(approval.approval, { acceptUnprotected: true, acceptHome: true }));
        break;
      case "n":
        this.#answer(approval, approvals.deny(approval.approval));
        break;
      case "d":
        this.#detailed = !this.#detailed;
        break;
      case "l":
        this.#later.add(approval.approval);
        this.#options.note(
          `cohort: ${approval.approval} waits: cohort approve ${approval.approval}, or cohort deny ${approval.approval}\n`,
        );
        this.#show(null);
        break;
      default:
        return;
    }
    this.#options.changed();
  }

  /** The screen shows something else: a key would answer what nobody can read. */
  unseen(): void {
    this.#shown = null;
  }

  /** None: nothing is asked. Not more than `rows`. */
  lines(sheet: Sheet & { readonly rows: number }): readonly string[] {
    const approval = this.#current();
    if (approval === undefined) return [];
    if (this.#shown !== approval.approval) this.#show(approval.approval, sheet.nowMs);
    const { style, columns } = sheet;
    const waiting = [...this.#questions.keys()].filter((id) => !this.#later.has(id)).length;
    const place = waiting > 1 ? `, ${waiting - 1} more` : "";
    const problem = this.#problem === "" ? [] : wrap(this.#problem, columns - 3, 3).map((line) => `   ${style.red(line)}`);
    const body = this.#detailed
      ? [style.yellow(truncate(askHeading(approval, place, sheet), columns)), ...detailLines(approval, sheet)]
      : askLines(approval, place, sheet);
    const keys = truncate(this.#keys(), columns - 3);
    const room = Math.max(2, sheet.rows - problem.length - 1);
    return [...body.slice(0, room), ...problem, `   ${style.bold(keys)}`];
  }

  #keys(): string {
    if (this.#answering) return "…";
    const yes = this.#confirms ? "Y yes, with that" : "y allow";
    return `${yes} · n deny · d ${this.#detailed ? "less" : "details"} · l later`;
  }

  #current(): ApprovalSummary | undefined {
    const shown = this.#shown === null ? undefined : this.#questions.get(this.#shown);
    return shown ?? [...this.#questions.values()].find(({ approval }) => !this.#later.has(approval));
  }

  #show(approval: string | null, nowMs = Date.now()): void {
    this.#shown = approval;
    this.#shownAtMs = nowMs;
    this.#detailed = false;
    this.#problem = "";
    this.#confirms = false;
  }

  #forget(approval: string): void {
    this.#questions.delete(approval);
    this.#later.delete(approval);
    if (this.#shown === approval) this.#show(null);
  }

  #answer(approval: ApprovalSummary, answer: Promise<ApprovalSummary>): void {
    this.#answering = true;
    answer.then(
      (answered) => {
        this.#answering = false;
        this.#options.note(`cohort: ${answeredText(answered)}\n`);
        this.#forget(approval.approval);
        this.#options.changed();
      },
      (error: unknown) => {
        this.#answering = false;
        if (isCohortError(error, "APPROVAL_ANSWERED") || isCohortError(error, "APPROVAL_UNKNOWN")) {
          this.#options.note(`cohort: ${approval.approval}: ${text(error)}\n`);
          this.#forget(approval.approval);
        } else if (this.#shown === approval.approval) {
          this.#problem = text(error);
          this.#confirms = isCohortError(error, "GRANT_UNCONFIRMED");
        }
        this.#options.changed();
      },
    );
  }
}

function text(error: unknown): string {
  return neutraliseLine(error instanceof Error ? error.message : String(error));
}
