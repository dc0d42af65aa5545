/**
 * What a person sees and answers. Owns the answers that are being written: one at a time for each approval.
 * The first answer counts, whoever gives it; it is acknowledged after the commit, and giving the same again is no error.
 */
import type { Origin } from "../../runtime/contract.ts";
import { CohortError, isCohortError } from "../../runtime/kernel/error.ts";
import { isWithin } from "../../machines/approval-context.ts";
import { TTL_CHOICES_MS, type ApprovalAnswer, type ApprovalSummary } from "../../machines/messages/approval.ts";
import type { ApprovalRow } from "../../machines/messages/approval-events.ts";
import type { ApprovalItem } from "../../machines/messages/api.ts";
import { GRANT_TTL_MS_DEFAULT } from "../../machines/messages/grant.ts";
import type { ApprovalList, Approvals } from "../contract.ts";
import { checkWanted } from "./path-rules.ts";
import type { PermissionParts } from "./permission-parts.ts";
import { answeredApprovals, findApproval, grantsOfRun, pendingApprovals } from "./permission-rows.ts";
import { riskOf } from "./risk.ts";

const EARLIER_SHOWN_MAX = 5;
const EARLIER_READ_MAX = 200;

export class ApprovalDesk implements Approvals {
  readonly #parts: PermissionParts;
  readonly #stopping: AbortSignal;
  readonly #answering = new Map<string, Promise<unknown>>();

  constructor(parts: PermissionParts, stopping: AbortSignal) {
    this.#parts = parts;
    this.#stopping = stopping;
  }

  async list({ run, answered, limit }: ApprovalList): Promise<readonly ApprovalSummary[]> {
    const runtime = await this.#parts.runtime;
    const ofRun = (row: ApprovalRow): boolean => run === undefined || row.run === run;
    const pending = (await pendingApprovals(runtime)).filter(ofRun).toSorted((one, other) => one.askedAtMs - other.askedAtMs);
    const rest = answered ? (await answeredApprovals(runtime)).filter(ofRun).toSorted((one, other) => other.askedAtMs - one.askedAtMs) : [];
    return Promise.all([...pending, ...rest].slice(0, limit).map((row) => this.#summary(row)));
  }

  async answer(answer: ApprovalAnswer, origin: Origin): Promise<ApprovalSummary> {
    const { approval } = answer;
    const before = this.#answering.get(approval) ?? Promise.resolve();
    const mine = before.then(() => this.#answer(answer, origin));
    const settled = mine.catch(() => {});
    this.#answering.set(approval, settled);
    try {
      return await mine;
    } finally {
      if (this.#answering.get(approval) === settled) this.#answering.delete(approval);
    }
  }

  async #answer(answer: ApprovalAnswer, origin: Origin): Promise<ApprovalSummary> {
    const { words, place } = this.#parts;
    const runtime = await this.#parts.runtime;
    const { approval, decision, ttlMs = GRANT_TTL_MS_DEFAULT, uses = 1, reason, acceptUnprotected, acceptHome } = answer;
    const row = await this.#row(approval);
    const mode = answer.mode ?? row.mode;
    if (row.state !== "pending") return this.#answeredBefore(row, answer);
    if (!isWithin(mode, row.mode))
      throw new CohortError("REQUEST_INVALID", { on: `mode: ${approval} asks for ${row.mode}, which is less than ${mode}` });
    const told = await words.approval(row.run, approval);
    if (decision === "approve") await checkWanted({ path: told.path, mode, acceptUnprotected, acceptHome }, place);
    if (reason !== told.reason) await words.addToApproval(row.run, approval, { reason });
    try {
      await runtime.post(`approval:${approval}`, { type: "answer", decision, mode, ttlMs, uses }, origin, { control: decision === "deny" });
    } catch (error) {
      if (!isCohortError(error, "ACTOR_UNKNOWN") && !isCohortError(error, "DEAD_LETTER")) throw error;
      return this.#answeredBefore(await this.#row(approval), answer);
    }
    return this.#summary(await this.#row(approval));
  }

  async #answeredBefore(row: ApprovalRow, { approval, decision, mode }: ApprovalAnswer): Promise<ApprovalSummary> {
    const same = row.state === (decision === "approve" ? "approved" : "denied") && (mode === undefined || mode === row.answer?.mode);
    if (same) return this.#summary(row);
    throw new CohortError("APPROVAL_ANSWERED", { on: `${approval} is ${row.state}` });
  }

  async *watch(run: string | undefined, signal: AbortSignal): AsyncGenerator<ApprovalItem> {
    const either = AbortSignal.any([signal, this.#stopping]);
    // Subscribed before the list is read: what comes meanwhile is told twice rather than never.
    const later = this.#parts.announcements.watch(either);
    for (const approval of await this.list({ run, answered: false, limit: 1000 })) yield { approval };
    for await (const row of later) if (run === undefined || row.run === run) yield { approval: await this.#summary(row) };
  }

  async #row(approval: string): Promise<ApprovalRow> {
    const row = await findApproval(await this.#parts.runtime, approval);
    if (row === null) throw new CohortError("APPROVAL_UNKNOWN", { on: approval });
    return row;
  }

  async #summary(row: ApprovalRow): Promise<ApprovalSummary> {
    const { words, place } = this.#parts;
    const { run, index, answer, ...facts } = row;
    const { path, why, reason } = await words.approval(run, row.approval);
    return {
      ...facts,
      run,
      index,
      ...(await this.#titles(run, index)),
      why,
      path,
      ttlChoicesMs: [...TTL_CHOICES_MS],
      risk: riskOf(path, row.mode, place.homes),
      earlier: await this.#earlier(row, path),
      answer:
        answer === null ? null : { by: answer.by, mode: answer.mode, ttlMs: answer.ttlMs, reason, atMs: answer.atMs, grant: answer.grant },
    };
  }

  async #titles(run: string, index: number): Promise<{ readonly title: string; readonly runTitle: string }> {
    const { content } = this.#parts;
    try {
      const [{ title }, { title: runTitle }] = await Promise.all([content.task(run, index), content.head(run)]);
      return { title, runTitle };
    } catch (error) {
      if (!isCohortError(error, "CONTENT_GONE")) throw error;
      return { title: "", runTitle: "" };
    }
  }

  async #earlier({ run, approval, askedAtMs }: ApprovalRow, path: string): Promise<ApprovalSummary["earlier"]> {
    const { words } = this.#parts;
    const found: ApprovalSummary["earlier"] = [];
    const rows = await grantsOfRun(await this.#parts.runtime, run, EARLIER_READ_MAX);
    for (const row of rows.toReversed()) {
      if (row.approval === approval || row.createdAtMs >= askedAtMs) continue;
      const { path: other, reason } = await words.grant(run, row.grant);
      if (other !== path) continue;
      found.push({ grant: row.grant, mode: row.mode, child: row.child, index: row.index, reason, atMs: row.createdAtMs });
      if (found.length === EARLIER_SHOWN_MAX) break;
    }
    return found;
  }
}
