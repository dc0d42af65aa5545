/** What a person does with grants: each request is checked, written down, and answered after its effect. Owns nothing. */
import type { Origin, Runtime } from "../../runtime/contract.ts";
import { CohortError, isCohortError } from "../../runtime/kernel/error.ts";
import type { GrantRow } from "../../machines/messages/grant-events.ts";
import type { GrantApplied, GrantCreate, GrantDiff, GrantSummary, StagedState } from "../../machines/messages/grant.ts";
import type { GrantList, Grants } from "../contract.ts";
import type { ApplyOptions, StagedGrant } from "../staged-diffs.ts";
import { isSandboxGone } from "../warden-refusal.ts";
import type { GrantMaking } from "./grant-making.ts";
import { checkWanted, cleanPath } from "./path-rules.ts";
import type { PermissionParts } from "./permission-parts.ts";
import { endedGrants, findGrant, grantRow, livingGrants } from "./permission-rows.ts";

/** The warden copies what cannot be mapped for at most half a minute. */
const ATTACH_MS_MAX = 90_000;
/** A staged grant is collected first. */
const REVOKE_MS_MAX = 180_000;

export class GrantDesk implements Grants {
  readonly #parts: PermissionParts;
  readonly #making: GrantMaking;
  readonly #stopping: AbortSignal;

  constructor(parts: PermissionParts, making: GrantMaking, stopping: AbortSignal) {
    this.#parts = parts;
    this.#making = making;
    this.#stopping = stopping;
  }

  async create(request: GrantCreate, origin: Origin): Promise<GrantSummary> {
    const { place, table } = this.#parts;
    const { mode, ttlMs, uses, reason, acceptUnprotected, acceptHome } = request;
    const session = table.find(request.child);
    if (session === undefined) throw new CohortError("CHILD_UNKNOWN", { on: request.child });
    const path = cleanPath(request.path);
    await checkWanted({ path, mode, acceptUnprotected, acceptHome }, place);
    const number = await this.#making.number();
    const target = await this.#making.target(session.id, path, request.as);
    try {
      const made = { number, mode, ttlMs, usesLeft: uses - 1, by: "person", approval: null } as const;
      const grant = await this.#making.spawn(session.id, made, { path, as: target, reason }, origin);
      const row = await this.#until(grant, ({ state }) => state === "active" || state === "ended", ATTACH_MS_MAX);
      if (row.state === "ended") throw await this.#whyNot(row);
      return await this.#summary(row);
    } finally {
      this.#making.release(request.child, target);
    }
  }

  async list({ run, child, ended, limit }: GrantList): Promise<readonly GrantSummary[]> {
    const runtime = await this.#parts.runtime;
    const living = await livingGrants(runtime);
    const all = ended ? [...living, ...(await endedGrants(runtime))] : living;
    const wanted = all
      .filter((row) => (run === undefined || row.run === run) && (child === undefined || row.child === child))
      .toSorted((one, other) => other.createdAtMs - one.createdAtMs);
    return Promise.all(wanted.slice(0, limit).map((row) => this.#summary(row)));
  }

  async revoke(grant: string, discard: boolean, origin: Origin): Promise<GrantSummary> {
    const runtime = await this.#parts.runtime;
    const before = await grantRow(runtime, grant);
    if (before.state !== "ended") {
      await this.#post(runtime, grant, discard, origin);
      return this.#summary(await this.#until(grant, ({ state }) => state === "ended", REVOKE_MS_MAX));
    }
    if (discard && before.mode === "staged") await this.#parts.diffs.discard(await this.#staged(before));
    return this.#summary(before);
  }

  /** Of a living child the differences of this moment. */
  async diff(grant: string, patch: boolean): Promise<GrantDiff> {
    const row = await this.#stagedRow(grant);
    const staged = await this.#staged(row);
    if (row.state === "active") await this.#collect(staged);
    return this.#parts.diffs.diff(staged, patch);
  }

  /** Of a living child what was shown last, so that what a person saw and what is applied are one; what it does from then on is in the next diff. */
  async apply(grant: string, options: ApplyOptions, _origin: Origin): Promise<GrantApplied> {
    const row = await this.#stagedRow(grant);
    const staged = await this.#staged(row);
    if (row.state === "active" && (await this.#parts.diffs.state(staged)) !== "held") await this.#collect(staged);
    return this.#parts.diffs.apply(staged, options);
  }

  async discard(grant: string, origin: Origin): Promise<GrantSummary> {
    await this.#stagedRow(grant);
    return this.revoke(grant, true, origin);
  }

  async undo(grant: string): Promise<GrantApplied> {
    const row = await grantRow(await this.#parts.runtime, grant);
    if (row.undo !== "copied") throw new CohortError("CONTENT_GONE", { on: `there is no copy of what ${grant} gave for writing` });
    if (row.state !== "ended") throw new CohortError("REQUEST_INVALID", { on: `${grant} is ${row.state}`, hint: "revoke it first" });
    const { path } = await this.#parts.words.grant(row.run, grant);
    return this.#parts.undo.restore({ grant, run: row.run, path });
  }

  async #collect(staged: StagedGrant): Promise<void> {
    try {
      await this.#parts.diffs.collect(staged, this.#stopping);
    } catch (error) {
      // It ended in this moment: what its settlement collected counts.
      if (!isSandboxGone(error)) throw error;
    }
  }

  async #post(runtime: Runtime, grant: string, discard: boolean, origin: Origin): Promise<void> {
    try {
      await runtime.post(`grant:${grant}`, { type: "revoke", discard }, origin, { control: true });
    } catch (error) {
      // It is ending already.
      if (!isCohortError(error, "ACTOR_UNKNOWN") && !isCohortError(error, "DEAD_LETTER")) throw error;
    }
  }

  async #until(grant: string, accept: (row: GrantRow) => boolean, timeoutMs: number): Promise<GrantRow> {
    const runtime = await this.#parts.runtime;
    const late = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([this.#stopping, late]);
    try {
      return await this.#parts.announcements.wait<GrantRow>(grant, () => findGrant(runtime, grant), accept, signal);
    } catch (error) {
      if (!late.aborted || !isCohortError(error, "CANCELLED")) throw error;
      throw new CohortError("DEADLINE", { on: `grant ${grant}, after ${timeoutMs} ms; it goes on`, cause: error });
    }
  }

  async #whyNot(row: GrantRow): Promise<CohortError> {
    const { path, detail } = await this.#parts.words.grant(row.run, row.grant);
    if (row.end === "failed") return new CohortError("MOUNT_REFUSED", { on: detail === "" ? path : detail });
    return new CohortError("GRANT_ENDED", { on: `${row.grant}: ${row.end ?? "ended"} before it was attached` });
  }

  async #stagedRow(grant: string): Promise<GrantRow> {
    const row = await grantRow(await this.#parts.runtime, grant);
    if (row.mode !== "staged")
      throw new CohortError("REQUEST_INVALID", { on: `${grant} is ${row.mode}, not staged: it has no differences` });
    return row;
  }

  async #staged({ grant, run, child }: GrantRow): Promise<StagedGrant> {
    const { path, as, stagedBytes } = await this.#parts.words.grant(run, grant);
    if (path === "") throw new CohortError("CONTENT_GONE", { on: grant });
    return { grant, run, child, path, as, stagedBytes };
  }

  async #stagedState(row: GrantRow): Promise<StagedState> {
    if (row.mode !== "staged") return "none";
    const { path, as, stagedBytes } = await this.#parts.words.grant(row.run, row.grant);
    const kept =
      path === "" ? "none" : await this.#parts.diffs.state({ grant: row.grant, run: row.run, child: row.child, path, as, stagedBytes });
    if (row.state !== "ended") return "live";
    if (kept !== "none") return kept;
    return row.attachedAtMs === null ? "none" : row.staged === "discarded" ? "discarded" : "lost";
  }

  async #summary(row: GrantRow): Promise<GrantSummary> {
    const { path, as, reason, detail } = await this.#parts.words.grant(row.run, row.grant);
    const { wireId: _, staged: __, ...facts } = row;
    return { ...facts, path, as, reason, detail, staged: await this.#stagedState(row) };
  }
}
