/** Values checked by their schemas, where they come in. Pure. */
import type { z } from "zod";
import { CohortError } from "../../runtime/kernel/error.ts";

const ISSUES_MAX = 10;

/** Throws REQUEST_INVALID, naming each field by its path. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues
    .slice(0, ISSUES_MAX)
    .map(({ path, message }) => `${[what, ...path.map(String)].join(".")}: ${message}`);
  throw new CohortError("REQUEST_INVALID", { on: issues.join("; "), cause: parsed.error });
}
