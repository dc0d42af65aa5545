/** JSON as the journal stores it: what is written can be read back, or an error says which row. */
import type { Json } from "./actions.ts";
import { CohortError } from "./error.ts";
import { EVENT_CHARS_MAX } from "./limits.ts";

/** Undefined (which JSON cannot hold) becomes null. */
export function encodeJson(value: Json | undefined): string {
  const text: string | undefined = JSON.stringify(value ?? null);
  if (text === undefined) throw new TypeError("a value that JSON cannot hold");
  if (text.length > EVENT_CHARS_MAX) throw new RangeError(`a value of ${text.length} characters; the limit is ${EVENT_CHARS_MAX}`);
  return text;
}

export function decodeJson(text: string, on: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new CohortError("JOURNAL_CORRUPT", { on, cause });
  }
}

export function isObject(value: unknown): value is { readonly [key: string]: Json | undefined } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
