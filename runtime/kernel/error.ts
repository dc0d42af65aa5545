/** The one error class of Cohort. Codes, messages and hints stand in error-table.ts. */
import { errorTable, type ErrorCode } from "./error-table.ts";

export interface ErrorDetails {
  /** What failed, on what: appended to the table's message. */
  readonly on?: string;
  /** Replaces the table's hint where the place knows better. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class CohortError extends Error {
  override readonly name = "CohortError";
  readonly code: ErrorCode;
  readonly hint: string;
  readonly retryable: boolean;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const entry = errorTable[code];
    super(
      details.on === undefined ? entry.message : `${entry.message}: ${details.on}`,
      details.cause === undefined ? {} : { cause: details.cause },
    );
    this.code = code;
    this.hint = details.hint ?? entry.hint;
    this.retryable = entry.retryable;
  }
}

export function isCohortError(error: unknown, code?: ErrorCode): error is CohortError {
  return error instanceof CohortError && (code === undefined || error.code === code);
}
