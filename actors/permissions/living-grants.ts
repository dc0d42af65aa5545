/**
 * Owns the table of grants and open approvals of living children, by child: what the warden's news, a settlement and an ask are matched with.
 * Does not own states: the journal's rows do; this is rebuilt from them at each start.
 */
import type { ApprovalRow } from "../../machines/messages/approval-events.ts";
import type { GrantParams, GrantRow } from "../../machines/messages/grant-events.ts";

export interface OfChild {
  readonly grants: Map<string, GrantParams>;
  readonly approvals: Set<string>;
}

export class LivingGrants {
  readonly #children = new Map<string, OfChild>();

  restore(grants: readonly GrantRow[], approvals: readonly ApprovalRow[]): void {
    for (const row of grants) this.addGrant(row);
    for (const { child, approval } of approvals) this.addApproval(child, approval);
  }

  children(): readonly string[] {
    return [...this.#children.keys()];
  }

  ofChild(child: string): OfChild | undefined {
    return this.#children.get(child);
  }

  addGrant({ grant, wireId, run, index, attempt, child, mode }: GrantParams): void {
    this.#open(child).grants.set(grant, { grant, wireId, run, index, attempt, child, mode });
  }

  addApproval(child: string, approval: string): void {
    this.#open(child).approvals.add(approval);
  }

  removeGrant(child: string, grant: string): void {
    this.#children.get(child)?.grants.delete(grant);
    this.#tidy(child);
  }

  removeApproval(child: string, approval: string): void {
    this.#children.get(child)?.approvals.delete(approval);
    this.#tidy(child);
  }

  byWireId(child: string, wireId: number): GrantParams | undefined {
    for (const grant of this.#children.get(child)?.grants.values() ?? []) if (grant.wireId === wireId) return grant;
    return undefined;
  }

  staged(child: string): readonly GrantParams[] {
    return [...(this.#children.get(child)?.grants.values() ?? [])].filter(({ mode }) => mode === "staged");
  }

  #open(child: string): OfChild {
    const known = this.#children.get(child);
    if (known !== undefined) return known;
    const opened: OfChild = { grants: new Map(), approvals: new Set() };
    this.#children.set(child, opened);
    return opened;
  }

  #tidy(child: string): void {
    const known = this.#children.get(child);
    if (known !== undefined && known.grants.size === 0 && known.approvals.size === 0) this.#children.delete(child);
  }
}
