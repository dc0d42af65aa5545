/** Errors across the socket: code, message and hint go over, the class comes back. Pure. */
import { CohortError } from "../kernel/error.ts";
import { errorTable, type ErrorCode } from "../kernel/error-table.ts";

export interface RemoteError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export function errorToRemote(error: unknown): RemoteError {
  if (error instanceof CohortError) return { code: error.code, message: error.message, hint: error.hint };
  const internal = new CohortError("INTERNAL", { on: error instanceof Error ? error.message : String(error) });
  return { code: internal.code, message: internal.message, hint: internal.hint };
}

/** A code of a newer build becomes INTERNAL with that code named. */
export function errorFromRemote(remote: RemoteError): CohortError {
  if (!isErrorCode(remote.code)) return new CohortError("INTERNAL", { on: `${remote.code}: ${remote.message}`, hint: remote.hint });
  const prefix = `${errorTable[remote.code].message}: `;
  if (!remote.message.startsWith(prefix)) return new CohortError(remote.code, { hint: remote.hint });
  return new CohortError(remote.code, { on: remote.message.slice(prefix.length), hint: remote.hint });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}
