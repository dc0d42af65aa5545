/** What children ask for and a person answers. Owns nothing: approvals live in cohortd, and survive it. */
import type { CallInput } from "../machines/messages/api.ts";
import type { ApprovalSummary } from "../machines/messages/approval.ts";
import type { Link } from "./link.ts";

export type ApproveOptions = Omit<CallInput<"approval.answer">, "approval" | "decision">;

/** The directory is looked at first, and its file system may be slow. */
const ANSWER_TIMEOUT_MS = 30_000;

export class Approvals {
  readonly #link: Link;

  /** Use `Cohort.approvals`. */
  constructor(link: Link) {
    this.#link = link;
  }

  /** Each approval that waits for an answer, once, and then each new one, until the loop is left or the signal aborts (which throws CANCELLED). */
  async *pending(options: { readonly run?: string; readonly signal?: AbortSignal } = {}): AsyncGenerator<ApprovalSummary, void> {
    const seen = new Set<string>();
    for await (const approval of this.watch(options)) {
      if (approval.state !== "pending") seen.delete(approval.approval);
      else if (!seen.has(approval.approval)) {
        seen.add(approval.approval);
        yield approval;
      }
    }
  }

  /** Those that wait, then every change: asked, asked again, decided. After a lost connection those that wait come again. */
  async *watch(options: { readonly run?: string; readonly signal?: AbortSignal } = {}): AsyncGenerator<ApprovalSummary, void> {
    const { run, signal } = options;
    for await (const { approval } of this.#link.follow("approval.watch", () => (run === undefined ? {} : { run }), signal)) yield approval;
  }

  /** Those that wait, oldest first; with `answered` also the others. */
  async list(options: CallInput<"approval.list"> = {}): Promise<readonly ApprovalSummary[]> {
    return (await this.#link.call("approval.list", options, { repeatable: true })).approvals;
  }

  /**
   * Gives what was asked for, or less; resolves when it is written down. Answering the same again is no error.
   * Rejects with APPROVAL_UNKNOWN, APPROVAL_ANSWERED (another answer came first), GRANT_UNCONFIRMED, GRANT_REFUSED, MOUNT_REFUSED.
   */
  async approve(approval: string, options: ApproveOptions = {}): Promise<ApprovalSummary> {
    return this.#answer({ ...options, approval, decision: "approve" });
  }

  /** The child hears the reason. Rejects as `approve` does. */
  async deny(approval: string, reason = ""): Promise<ApprovalSummary> {
    return this.#answer({ approval, decision: "deny", reason });
  }

  #answer(answer: CallInput<"approval.answer">): Promise<ApprovalSummary> {
    return this.#link.call("approval.answer", answer, { repeatable: true, timeoutMs: ANSWER_TIMEOUT_MS });
  }
}
