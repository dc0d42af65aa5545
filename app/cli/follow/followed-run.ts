/** What following needs of a run: a part of the SDK's Run, which hides lost connections. */
import type { OutputItem, RunEventItem } from "../../../machines/messages/api.ts";
import type { ChildSummary } from "../../../machines/messages/result.ts";

export interface FollowedRun {
  readonly id: string;
  events(options?: { readonly after?: number }): AsyncIterable<RunEventItem>;
  logs(index: number, options?: { readonly attempt?: number; readonly follow?: boolean }): AsyncIterable<OutputItem>;
  cancel(mode?: "grace" | "kill", reason?: string): Promise<void>;
}

/** Of all living children of this person. */
export type ListChildren = () => Promise<readonly ChildSummary[]>;
