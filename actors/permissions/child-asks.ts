/**
 * Owns the asks of children that are being decided in this process: one question a child, path and mode, however often it is asked.
 * Does not own the decision (the approval's machine), nor the directory (the grant's).
 *
 * 1. What is asked is written down before anybody sees it; it survives this process, and the child finds it again by asking again.
 * 2. A child learns nothing of this machine by asking: until a person has said yes, only what it wrote itself is looked at.
 * 3. What a child has been given already, or was given in an earlier attempt with uses left, is not asked about again.
 */
import type { ActorEvent } from "../../runtime/kernel/actions.ts";
import { CohortError, isCohortError } from "../../runtime/kernel/error.ts";
import { errorTable } from "../../runtime/kernel/error-table.ts";
import type { Origin } from "../../runtime/contract.ts";
import { isWithin } from "../../machines/approval-context.ts";
import { APPROVALS_PER_CHILD_MAX, type AskAnswer, type DirectoryAsk } from "../../machines/messages/approval.ts";
import type { ApprovalInput, ApprovalRow, Decision } from "../../machines/messages/approval-events.ts";
import type { GrantRow } from "../../machines/messages/grant-events.ts";
import type { GrantMode } from "../../machines/messages/grant.ts";
import type { Asks } from "../asks.ts";
import { runScope } from "../run-actor.ts";
import type { SessionId } from "../session.ts";
import type { GrantMaking } from "./grant-making.ts";
import { checkStatic, checkWanted, cleanPath, type Place } from "./path-rules.ts";
import type { PermissionParts } from "./permission-parts.ts";
import { findApproval, findGrant, grantsOfRun } from "./permission-rows.ts";
import { preAnswerOf } from "./pre-answers.ts";

const childOrigin: Origin = { surface: "daemon", device: "tools channel" };
/** Of one run, among which earlier ones with uses left are looked for. */
const EARLIER_MAX = 500;
/** Says nothing of what there is, or where. */
const NOT_GIVEN = "it cannot be given";

function reasonOf(error: CohortError): string {
  const told = `${errorTable.GRANT_REFUSED.message}: `;
  return error.message.startsWith(told) ? error.message.slice(told.length) : error.message;
}

function isNeverGiven(path: string, mode: GrantMode, place: Place): boolean {
  try {
    checkStatic(path, mode, place);
    return false;
  } catch (error) {
    if (!isCohortError(error, "GRANT_REFUSED")) throw error;
    return true;
  }
}

type Found = { readonly type: "approval" | "grant"; readonly id: string };

export class ChildAsks implements Asks {
  readonly #parts: PermissionParts;
  readonly #making: GrantMaking;
  readonly #stopping: AbortSignal;
  readonly #opening = new Map<string, Promise<Found>>();
  /** Questions of each child that are being written down, and so are not in the table yet. */
  readonly #written = new Map<string, number>();

  constructor(parts: PermissionParts, making: GrantMaking, stopping: AbortSignal) {
    this.#parts = parts;
    this.#making = making;
    this.#stopping = stopping;
  }

  async directory(child: SessionId, ask: DirectoryAsk, closed: AbortSignal): Promise<AskAnswer> {
    const signal = AbortSignal.any([closed, this.#stopping]);
    try {
      const path = cleanPath(ask.path);
      if (isNeverGiven(path, ask.mode, this.#parts.place)) return { answer: "denied", reason: NOT_GIVEN };
      const found = await this.#open(child, { ...ask, path });
      const grant = found.type === "grant" ? found.id : await this.#decided(found.id, signal);
      return await this.#attached(child, grant, signal);
    } catch (error) {
      if (!isCohortError(error)) throw error;
      return {
        answer: "denied",
        reason: error.code === "GRANT_REFUSED" ? reasonOf(error) : error.code === "CANCELLED" ? "the channel closed" : NOT_GIVEN,
      };
    }
  }

  /** The second of two that ask at once gets what the first one opened. */
  async #open(child: SessionId, ask: DirectoryAsk): Promise<Found> {
    const key = `${child.name}\0${ask.mode}\0${ask.path}`;
    const opening = this.#opening.get(key);
    if (opening !== undefined) return opening;
    const opened = this.#find(child, ask).then((found) => found ?? this.#ask(child, ask));
    this.#opening.set(key, opened);
    try {
      return await opened;
    } finally {
      this.#opening.delete(key);
    }
  }

  async #find(child: SessionId, ask: DirectoryAsk): Promise<Found | null> {
    const { living, words } = this.#parts;
    const runtime = await this.#parts.runtime;
    const known = living.ofChild(child.name);
    for (const { grant, run, mode } of [...(known?.grants.values() ?? [])]) {
      if (!isWithin(ask.mode, mode) || (ask.mode === "staged") !== (mode === "staged")) continue;
      if ((await words.grant(run, grant)).path === ask.path && (await findGrant(runtime, grant))?.state !== "revoking")
        return { type: "grant", id: grant };
    }
    for (const approval of [...(known?.approvals ?? [])]) {
      const row = await findApproval(runtime, approval);
      if (row?.mode !== ask.mode || (await words.approval(child.run, approval)).path !== ask.path) continue;
      await this.#tell(approval, { type: "repeated" });
      return { type: "approval", id: approval };
    }
    return this.#again(child, ask);
  }

  /** What was answered with the run decides, unless it needs a confirmation of its own. */
  async #preAnswer(child: SessionId, ask: DirectoryAsk): Promise<Decision | null> {
    const { content, place } = this.#parts;
    const { preAnswers = [] } = await content.head(child.run);
    const found = preAnswerOf(preAnswers, ask);
    if (found?.decision !== "approve") return found;
    try {
      await checkWanted({ path: ask.path, mode: ask.mode, acceptUnprotected: true, acceptHome: false }, place);
      return found;
    } catch (error) {
      if (!isCohortError(error)) throw error;
      return null;
    }
  }

  async #tell(approval: string, event: ActorEvent): Promise<void> {
    try {
      await (await this.#parts.runtime).post(`approval:${approval}`, event, childOrigin, { control: event.type === "childEnded" });
    } catch (error) {
      // It is decided in this moment.
      if (!isCohortError(error, "ACTOR_UNKNOWN") && !isCohortError(error, "DEAD_LETTER")) throw error;
    }
  }

  /** A grant of an earlier attempt of this task, with uses and time left. */
  async #again(child: SessionId, ask: DirectoryAsk): Promise<Found | null> {
    if (child.attempt === 1) return null;
    const { words } = this.#parts;
    const rows = await grantsOfRun(await this.#parts.runtime, child.run, EARLIER_MAX);
    for (const row of rows.toReversed()) {
      if (row.index !== child.index || row.mode !== ask.mode || row.by === "task") continue;
      const { path, reason } = await words.grant(child.run, row.grant);
      if (path !== ask.path) continue;
      // The latest one counts: it took what the ones before it had left.
      if (row.usesLeft === 0 || row.attempt === child.attempt) return null;
      const leftMs = (row.expiresAtMs ?? 0) - Date.now();
      if (leftMs < 1000) return null;
      const number = await this.#making.number();
      const target = await this.#making.target(child, path, undefined);
      try {
        const { mode, by, approval } = row;
        const made = { number, mode, ttlMs: leftMs, usesLeft: row.usesLeft - 1, by, approval };
        return { type: "grant", id: await this.#making.spawn(child, made, { path, as: target, reason }, childOrigin) };
      } finally {
        this.#making.release(child.name, target);
      }
    }
    return null;
  }

  /** A place among the questions of the child, taken before anything is waited for; given back at once. Throws GRANT_REFUSED. */
  #place(child: string): () => void {
    const written = this.#written.get(child) ?? 0;
    if ((this.#parts.living.ofChild(child)?.approvals.size ?? 0) + written >= APPROVALS_PER_CHILD_MAX)
      throw new CohortError("GRANT_REFUSED", { on: "too many of its questions wait for an answer" });
    this.#written.set(child, written + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      const left = (this.#written.get(child) ?? 1) - 1;
      if (left === 0) this.#written.delete(child);
      else this.#written.set(child, left);
    };
  }

  async #ask(child: SessionId, ask: DirectoryAsk): Promise<Found> {
    const giveBack = this.#place(child.name);
    try {
      return await this.#write(child, ask, giveBack);
    } finally {
      giveBack();
    }
  }

  /** `listed`: from now on it is counted in the table. */
  async #write(child: SessionId, { path, mode, why }: DirectoryAsk, listed: () => void): Promise<Found> {
    const { living, words, table } = this.#parts;
    const runtime = await this.#parts.runtime;
    if (table.find(child.name) === undefined) throw new CohortError("CHILD_UNKNOWN", { on: child.name });
    const preAnswer = await this.#preAnswer(child, { path, mode, why });
    const target = await this.#making.target(child, path, undefined);
    try {
      const [approvalNumber, grantNumber] = await Promise.all([runtime.reserve("approvals", 1), this.#making.number()]);
      const approval = `a${approvalNumber}`;
      const files = [
        words.approvalFile(child.run, approval, { path, why, reason: preAnswer === null ? "" : "answered with the run" }),
        await this.#making.file(child, `g${grantNumber}`, { path, as: target, reason: why }),
      ];
      living.addApproval(child.name, approval);
      listed();
      const { run, index, attempt, name } = child;
      const input: ApprovalInput = { approval, run, index, attempt, child: name, mode, grantNumber, preAnswer, atMs: Date.now() };
      try {
        await runtime.spawn(`approval:${approval}`, input, { origin: childOrigin, scope: runScope(run), files });
      } catch (error) {
        living.removeApproval(name, approval);
        throw error;
      }
      // It may have ended while this was written down: then nobody else tells.
      if (table.find(name) === undefined) await this.#tell(approval, { type: "childEnded" });
      return { type: "approval", id: approval };
    } finally {
      this.#making.release(child.name, target);
    }
  }

  /** The grant that was approved. */
  async #decided(approval: string, signal: AbortSignal): Promise<string> {
    const runtime = await this.#parts.runtime;
    const row = await this.#parts.announcements.wait<ApprovalRow>(
      approval,
      () => findApproval(runtime, approval),
      ({ state }) => state !== "pending",
      signal,
    );
    switch (row.state) {
      case "approved":
        return row.answer?.grant ?? "";
      case "expired":
        throw new CohortError("GRANT_REFUSED", { on: "nobody answered in time" });
      case "withdrawn":
        throw new CohortError("GRANT_REFUSED", { on: "its task is ending" });
      case "denied":
      case "pending": {
        const { reason } = await this.#parts.words.approval(row.run, approval);
        throw new CohortError("GRANT_REFUSED", { on: reason === "" ? "a person said no" : reason });
      }
    }
  }

  async #attached(child: SessionId, grant: string, signal: AbortSignal): Promise<AskAnswer> {
    const runtime = await this.#parts.runtime;
    const row = await this.#parts.announcements.wait<GrantRow>(
      grant,
      () => findGrant(runtime, grant),
      ({ state }) => state === "active" || state === "ended" || state === "revoking",
      signal,
    );
    if (row.state !== "active") return { answer: "denied", reason: row.end === "failed" ? NOT_GIVEN : "it was taken back" };
    const { as } = await this.#parts.words.grant(row.run, grant);
    return { answer: "granted", path: `/sessions/${child.name}/mnt/${as}`, mode: row.mode };
  }
}
