/** Reads rows of grants and approvals from the journal. Owns nothing. */
import type { Runtime } from "../../runtime/contract.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import type { ApprovalRow } from "../../machines/messages/approval-events.ts";
import type { GrantRow } from "../../machines/messages/grant-events.ts";

const PAGE_ROWS = 1000;

async function all<T>(runtime: Runtime, collection: string, first = "", end: (key: string) => boolean = () => false): Promise<T[]> {
  const found: T[] = [];
  for (let after = first; ;) {
    const page = await runtime.list(collection, { after, limit: PAGE_ROWS });
    for (const { key, value } of page) {
      if (end(key)) return found;
      found.push(value as unknown as T);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS) return found;
    after = last.key;
  }
}

export function livingGrants(runtime: Runtime): Promise<GrantRow[]> {
  return all<GrantRow>(runtime, "grants");
}

export function endedGrants(runtime: Runtime): Promise<GrantRow[]> {
  return all<GrantRow>(runtime, "grantsEnded");
}

export function pendingApprovals(runtime: Runtime): Promise<ApprovalRow[]> {
  return all<ApprovalRow>(runtime, "approvals");
}

export function answeredApprovals(runtime: Runtime): Promise<ApprovalRow[]> {
  return all<ApprovalRow>(runtime, "approvalsAnswered");
}

/** Null: there is none. */
export async function findGrant(runtime: Runtime, grant: string): Promise<GrantRow | null> {
  // It moves from the one to the other; looked for in this order it is missed in neither.
  const row = (await runtime.get("grants", grant)) ?? (await runtime.get("grantsEnded", grant)) ?? null;
  return row as GrantRow | null;
}

export async function grantRow(runtime: Runtime, grant: string): Promise<GrantRow> {
  const row = await findGrant(runtime, grant);
  if (row === null) throw new CohortError("GRANT_UNKNOWN", { on: grant });
  return row;
}

export async function findApproval(runtime: Runtime, approval: string): Promise<ApprovalRow | null> {
  const row = (await runtime.get("approvals", approval)) ?? (await runtime.get("approvalsAnswered", approval)) ?? null;
  return row as ApprovalRow | null;
}

/** Those of one run in the order of their making, the latest `limit`. */
export async function grantsOfRun(runtime: Runtime, run: string, limit: number): Promise<GrantRow[]> {
  const ids = await all<{ readonly grant: string }>(runtime, "grantsOfRun", `${run}/`, (key) => !key.startsWith(`${run}/`));
  const rows = await Promise.all(ids.slice(-limit).map(({ grant }) => findGrant(runtime, grant)));
  return rows.filter((row) => row !== null);
}
