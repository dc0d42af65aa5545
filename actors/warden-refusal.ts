/** What a refusal of the warden means for the caller: its own code stands in the message, as `<message of the table>: <CODE>: …`. */
import { isCohortError } from "../runtime/kernel/error.ts";

function wardenSaid(error: unknown, code: string): boolean {
  return isCohortError(error) && (error.message.includes(`: ${code}:`) || error.message.endsWith(`: ${code}`));
}

/** There is nothing left that could be signalled, killed or collected from. */
export function isSandboxGone(error: unknown): boolean {
  return wardenSaid(error, "NAME_UNKNOWN") || wardenSaid(error, "SANDBOX_DEAD");
}
