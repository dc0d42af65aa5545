/** The approval's only effect: tells whoever waits, after the commit. */
import type { EffectDefinition } from "../../runtime/contract.ts";
import type { Json } from "../../runtime/kernel/actions.ts";
import { wireIdOf } from "../../machines/approval-context.ts";
import { approvalEffects, type ApprovalRow, type ApprovalToldParams } from "../../machines/messages/approval-events.ts";
import type { PermissionParts } from "./permission-parts.ts";
import { findGrant } from "./permission-rows.ts";

/** Its grant is known before the approval is forgotten, so that the same ask finds the one or the other. */
async function known(row: ApprovalRow, { runtime, living }: PermissionParts): Promise<void> {
  const { child, approval, run, index, attempt, answer } = row;
  if (row.state === "pending") return;
  if (answer !== null && answer.grant !== null) {
    const { grant, mode } = answer;
    living.addGrant({ grant, wireId: wireIdOf(Number(grant.slice(1))), run, index, attempt, child, mode });
    const made = await findGrant(await runtime, grant);
    if (made?.state === "ended") living.removeGrant(child, grant);
  }
  living.removeApproval(child, approval);
}

export function approvalEffectDefinitions(parts: PermissionParts): readonly EffectDefinition[] {
  const { runtime, announcements } = parts;
  return [
    {
      name: approvalEffects.told,
      safety: "keyed",
      run: async (params: Json) => {
        await runtime;
        const { row } = params as ApprovalToldParams;
        await known(row, parts);
        announcements.tellApproval(row);
        return null;
      },
    },
  ];
}
