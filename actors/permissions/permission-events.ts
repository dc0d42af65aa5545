/** Rows of a run's log about approvals and grants, joined with their words. Owns nothing. */
import type { RunLogRow } from "../../machines/messages/facts.ts";
import type { RunEvent } from "../../machines/messages/result.ts";
import { personHomes } from "./homes.ts";
import type { PermissionContent } from "./permission-content.ts";
import { riskOf } from "./risk.ts";

export type PermissionRow = Extract<
  RunLogRow,
  { readonly type: "approval-requested" | "approval-answered" | "grant-attached" | "grant-ended" }
>;

export async function permissionEvent(words: PermissionContent, run: string, row: PermissionRow): Promise<RunEvent> {
  switch (row.type) {
    case "approval-requested": {
      const { path, why } = await words.approval(run, row.approval);
      return { ...row, path, why, risk: riskOf(path, row.mode, personHomes()) };
    }
    case "approval-answered": {
      const { path, reason } = await words.approval(run, row.approval);
      return { ...row, path, reason };
    }
    case "grant-attached": {
      const { path, as } = await words.grant(run, row.grant);
      return { ...row, path, as };
    }
    case "grant-ended": {
      const { path, detail } = await words.grant(run, row.grant);
      return { ...row, path, detail };
    }
  }
}
