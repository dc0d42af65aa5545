/** What a child's tools channel calls when the child asks for something: the one door from there to approvals and grants. */
import type { AskAnswer, DirectoryAsk } from "../machines/messages/approval.ts";
import type { SessionId } from "./session.ts";

export interface Asks {
  /**
   * Resolves when it is decided and, if granted, attached; a person may take a day. Never rejects for what the child asked: whatever cannot be
   * is "denied" with its reason. The signal ends the waiting (the channel closed), not the approval: the same child asking the same again, after
   * a reconnect say, waits for the same one, or gets what was granted meanwhile.
   */
  directory(child: SessionId, ask: DirectoryAsk, signal: AbortSignal): Promise<AskAnswer>;
}
