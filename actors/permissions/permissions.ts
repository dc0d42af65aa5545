/**
 * Everything about grants and approvals behind one object: effects for the runtime, doors for people and for children, and what
 * sessions must tell. Owns the table of living grants.
 *
 * 1. A grant ends no later than its child, in the journal as in the kernel: childGone is told before the child's end is.
 * 2. What a staged grant holds is on the disk before its sandbox goes, if the sandbox still lives.
 */
import type { EffectDefinition, Origin, Runtime } from "../../runtime/contract.ts";
import type { ActorEvent, ActorRef } from "../../runtime/kernel/actions.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import type { RuntimeLog } from "../../runtime/log/runtime-log.ts";
import type { Task } from "../../machines/messages/task.ts";
import type { GrantEnd } from "../../vm/backend.ts";
import type { Asks } from "../asks.ts";
import type { Content } from "../content.ts";
import type { Approvals, Grants } from "../contract.ts";
import type { SessionId } from "../session.ts";
import type { SessionTable } from "../session-table.ts";
import type { StagedDiffs } from "../staged-diffs.ts";
import type { UndoCopies } from "../undo-copies.ts";
import type { VmLink } from "../vm-link.ts";
import { isSandboxGone } from "../warden-refusal.ts";
import { Announcements } from "./announcements.ts";
import { ApprovalDesk } from "./approval-desk.ts";
import { approvalEffectDefinitions } from "./approval-actor.ts";
import { ChildAsks } from "./child-asks.ts";
import { GrantEffects, grantEffectDefinitions } from "./grant-actor.ts";
import { GrantDesk } from "./grant-desk.ts";
import { GrantMaking } from "./grant-making.ts";
import { personHomes } from "./homes.ts";
import { LivingGrants } from "./living-grants.ts";
import { PermissionContent } from "./permission-content.ts";
import type { PermissionParts } from "./permission-parts.ts";
import { livingGrants, pendingApprovals } from "./permission-rows.ts";

export interface PermissionsOptions {
  /** Without symbolic links. */
  readonly stateDirectory: string;
  readonly content: Content;
  readonly table: SessionTable;
  readonly link: VmLink;
  readonly diffs: StagedDiffs;
  readonly undo: Pick<UndoCopies, "make" | "restore">;
  readonly log: RuntimeLog;
}

const wardenOrigin: Origin = { surface: "daemon", device: "warden" };
/** Nobody's, and so nothing to do: the news came too late, or twice. */
const overtaken: ReadonlySet<string> = new Set(["ACTOR_UNKNOWN", "DEAD_LETTER"]);

export class Permissions {
  readonly grants: Grants;
  readonly approvals: Approvals;
  readonly asks: Asks;
  readonly effects: readonly EffectDefinition[];
  readonly #parts: PermissionParts;
  readonly #grantEffects: GrantEffects;
  readonly #making: GrantMaking;
  readonly #runtime = Promise.withResolvers<Runtime>();
  readonly #stopping = new AbortController();

  constructor(options: PermissionsOptions) {
    const { stateDirectory, content, ...rest } = options;
    const words = new PermissionContent(content);
    const place = { stateDirectory, homes: personHomes() };
    const announcements = new Announcements();
    this.#parts = { ...rest, content, words, place, announcements, living: new LivingGrants(), runtime: this.#runtime.promise };
    this.#grantEffects = new GrantEffects(this.#parts);
    this.#making = new GrantMaking(this.#parts);
    this.grants = new GrantDesk(this.#parts, this.#making, this.#stopping.signal);
    this.approvals = new ApprovalDesk(this.#parts, this.#stopping.signal);
    this.asks = new ChildAsks(this.#parts, this.#making, this.#stopping.signal);
    this.effects = [...grantEffectDefinitions(this.#parts, this.#grantEffects), ...approvalEffectDefinitions(this.#parts)];
  }

  /** After the sessions were restored, before the first connection. */
  async restore(runtime: Runtime): Promise<void> {
    const { living, table } = this.#parts;
    living.restore(await livingGrants(runtime), await pendingApprovals(runtime));
    this.#runtime.resolve(runtime);
    for (const child of living.children()) if (table.find(child) === undefined) await this.childGone(child);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** The warden's news, perhaps not for the first time. */
  heardEnd({ name, grantId, reason, processesKilled, childKilled }: GrantEnd): void {
    const grant = this.#parts.living.byWireId(name, grantId);
    if (grant === undefined) return;
    this.#post(`grant:${grant.grant}`, { type: "wardenEnded", reason, processesKilled, childKilled }).catch((error: unknown) => {
      if (!isCohortError(error, "CANCELLED"))
        this.#parts.log.error({ grant: grant.grant, error }, "the end of a grant could not be passed on");
    });
  }

  /** The task's own staged mounts, once its sandbox stands. */
  async adopt(child: SessionId, task: Task): Promise<void> {
    await this.#making.adopt(child, task);
  }

  hasStaged(child: string): boolean {
    return this.#parts.living.staged(child).length > 0;
  }

  /** Before its sandbox is destroyed. Answers a sentence for each staged directory whose changes are lost. Rejects with what should be tried again. */
  async collectStaged(child: string, signal: AbortSignal): Promise<readonly string[]> {
    const notes: string[] = [];
    for (const grant of this.#parts.living.staged(child)) {
      const staged = await this.#grantEffects.staged(grant);
      try {
        await this.#parts.diffs.collect(staged, signal);
      } catch (error) {
        if (signal.aborted || !isCohortError(error) || error.code === "WARDEN_GONE") throw error;
        if ((await this.#parts.diffs.state(staged)) !== "none") continue;
        const why = isSandboxGone(error) ? "its sandbox was gone before they were collected" : error.message;
        notes.push(`its changes to ${staged.path} (staged) are lost: ${why}`);
      }
    }
    return notes;
  }

  /** Nothing of it is left: neither are its grants, and its questions need no answer. */
  async childGone(child: string): Promise<void> {
    const known = this.#parts.living.ofChild(child);
    if (known === undefined) return;
    const approvals = [...known.approvals].map((approval) => this.#post(`approval:${approval}`, { type: "childEnded" }));
    const grants = [...known.grants.values()].map(async (grant) =>
      this.#post(`grant:${grant.grant}`, { type: "childEnded", staged: await this.#grantEffects.outcomeOf(grant) }),
    );
    await Promise.all([...approvals, ...grants]);
  }

  /** News of ends: also on a full disk. */
  async #post(ref: ActorRef, event: ActorEvent): Promise<void> {
    try {
      await (await this.#runtime.promise).post(ref, event, wardenOrigin, { control: true });
    } catch (error) {
      if (!isCohortError(error) || !overtaken.has(error.code)) throw error;
    }
  }
}
