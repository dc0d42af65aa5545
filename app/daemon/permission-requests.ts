/** Grants and approvals, asked for over the socket: each request passes its schema, then goes to the actors. */
import type { Origin } from "../../runtime/contract.ts";
import { calls, type CallName } from "../../machines/messages/api.ts";
import type { System } from "../../actors/contract.ts";
import { parseRequest } from "./request.ts";

export type PermissionCall = Extract<CallName, `grant.${string}` | `approval.${string}`>;

export async function answerPermission(system: System, name: PermissionCall, params: unknown, origin: Origin): Promise<unknown> {
  const { grants, approvals } = system;
  switch (name) {
    case "grant.create":
      return grants.create(parseRequest(calls[name], params), origin);
    case "grant.list":
      return { grants: await grants.list(parseRequest(calls[name], params)) };
    case "grant.revoke": {
      const { grant, discard } = parseRequest(calls[name], params);
      return grants.revoke(grant, discard, origin);
    }
    case "grant.diff": {
      const { grant, patch } = parseRequest(calls[name], params);
      return grants.diff(grant, patch);
    }
    case "grant.apply": {
      const { grant, ...options } = parseRequest(calls[name], params);
      return grants.apply(grant, options, origin);
    }
    case "grant.discard":
      return grants.discard(parseRequest(calls[name], params).grant, origin);
    case "grant.undo":
      return grants.undo(parseRequest(calls[name], params).grant);
    case "approval.list":
      return { approvals: await approvals.list(parseRequest(calls[name], params)) };
    case "approval.answer":
      return approvals.answer(parseRequest(calls[name], params), origin);
  }
}
