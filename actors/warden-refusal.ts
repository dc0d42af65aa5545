/** What a refusal of the warden means for the caller: its own code stands in the message, as `<message of the table>: <CODE>: …`. */
import { isCohortError, type CohortError } from "../runtime/kernel/error.ts";
import { errorTable } from "../runtime/kernel/error-table.ts";

function wardenSaid(error: unknown, code: string): boolean {
  return isCohortError(error) && (error.message.includes(`: ${code}:`) || error.message.endsWith(`: ${code}`));
}

/** There is nothing left that could be signalled, killed or collected from. */
export function isSandboxGone(error: unknown): boolean {
  return wardenSaid(error, "NAME_UNKNOWN") || wardenSaid(error, "SANDBOX_DEAD");
}

/** For a result, whose status says already what the table's message says: the reason, and what to do. */
export function sentenceOf(error: CohortError): string {
  const told = `${errorTable[error.code].message}: `;
  const reason = error.message.startsWith(told) ? error.message.slice(told.length) : error.message;
  return `${reason.replace(/^[A-Z][A-Z_]{3,40}: /, "")}; ${error.hint}`;
}
