/** Living children, asked for over the socket: each request passes its schema, then goes to the actors. */
import { calls, type CallName } from "../../machines/messages/api.ts";
import type { System } from "../../actors/contract.ts";
import { parseRequest } from "./request.ts";

export type ChildCall = Extract<CallName, `child.${string}`>;

export async function answerChild(system: System, name: ChildCall, params: unknown): Promise<unknown> {
  switch (name) {
    case "child.list":
      return { children: await system.children() };
    case "child.resize": {
      const { child, execId, rows, columns } = parseRequest(calls[name], params);
      await system.resizeExec(child, execId, rows, columns);
      return {};
    }
    case "child.freeze":
      await system.freezeChild(parseRequest(calls[name], params).child);
      return {};
    case "child.thaw":
      await system.thawChild(parseRequest(calls[name], params).child);
      return {};
  }
}
