/** The approval's machine. Its only effect tells whoever waits, after the commit. */
import type { ActorDefinition, EffectDefinition } from "../../runtime/contract.ts";
import type { Json } from "../../runtime/kernel/actions.ts";
import { approvalMachine } from "../../machines/approval.ts";
import { approvalEffects, type ApprovalToldParams } from "../../machines/messages/approval-events.ts";
import type { PermissionParts } from "./permission-parts.ts";

export const approvalDefinition: ActorDefinition = {
  kind: "approval",
  version: 1,
  machine: approvalMachine,
  ignores: ["repeated", "timer", "cancel", "childEnded"],
};

export function approvalEffectDefinitions({ runtime, living, announcements }: PermissionParts): readonly EffectDefinition[] {
  return [
    {
      name: approvalEffects.told,
      safety: "keyed",
      run: async (params: Json) => {
        await runtime;
        const { row } = params as ApprovalToldParams;
        if (row.state !== "pending") living.removeApproval(row.child, row.approval);
        announcements.tellApproval(row);
        return null;
      },
    },
  ];
}
