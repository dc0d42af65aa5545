/** Pure: what is wrong in a task file, where, in words for the person who wrote it. */
import type { z } from "zod";
import { suggest } from "../text/suggestion.ts";

export type FieldPath = readonly (string | number)[];

export interface Problem {
  readonly path: FieldPath;
  /** "key": the position is that of the last component's name, not of its value. */
  readonly at: "key" | "value";
  readonly message: string;
}

/** `tasks[3].limits.memory` */
export function showPath(path: FieldPath): string {
  return path.reduce<string>((text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`), "");
}

function valueAt(data: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[part] : undefined),
    data,
  );
}

function describeValue(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a mapping";
  if (typeof value === "string") return value.length > 40 ? "text" : JSON.stringify(value);
  return value === null || value === undefined ? "nothing" : JSON.stringify(value);
}

const NOUNS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

/** Of a union's branches the one that came furthest tells most; where none went inside, the union speaks for itself. */
function deepest(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] | null {
  const inside = issue.errors.filter((branch) =>
    branch.some(
      (one) =>
        one.path.length > 0 ||
        one.code === "unrecognized_keys" ||
        (one.code !== "invalid_type" && one.code !== "invalid_value" && one.code !== "invalid_format"),
    ),
  );
  const [best] = inside.toSorted((left, right) => left.length - right.length);
  return best ?? null;
}

function bound(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const small = issue.code === "too_small";
  const limit = Number(small ? issue.minimum : issue.maximum);
  if (issue.origin === "array") return small ? `needs at least ${limit}` : `holds at most ${limit}`;
  if (issue.origin === "string") return small ? "must not be empty" : `is longer than ${limit} characters`;
  return small ? `must be at least ${limit}` : `must be at most ${limit}`;
}

function say(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      if (value === undefined) return "is required";
      return `expected ${NOUNS[issue.expected] ?? issue.expected}, not ${describeValue(value)}`;
    case "too_small":
    case "too_big":
      return bound(issue);
    case "invalid_value": {
      const choices = issue.values.map(String);
      const meant = typeof value === "string" ? suggest(value, choices) : null;
      return `expected ${choices.join(", ")}, not ${describeValue(value)}${meant === null ? "" : `; did you mean ${meant}?`}`;
    }
    case "invalid_union": {
      const choice =
        typeof value === "string" ? issue.errors.flat().find((one) => one.code === "invalid_value" && one.path.length === 0) : undefined;
      if (choice !== undefined) return say(choice, value);
      return value === undefined ? "is required" : `${issue.message}, not ${describeValue(value)}`;
    }
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    case "invalid_format":
    case "not_multiple_of":
    case "unrecognized_keys":
    case "invalid_element":
    case "custom":
      return issue.message;
    default:
      return (issue as z.core.$ZodIssue).message;
  }
}

/** The names that may stand in one mapping, by the shape of its path: what a person may have meant. */
export type KnownFields = (path: FieldPath) => readonly string[];

export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  data: unknown,
  known: KnownFields,
  base: FieldPath = [],
): readonly Problem[] {
  return issues.flatMap((issue): readonly Problem[] => {
    const path: FieldPath = [...base, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => {
        const meant = suggest(key, known(path));
        return { path: [...path, key], at: "key", message: `unknown field${meant === null ? "" : `; did you mean ${meant}?`}` };
      });
    }
    if (issue.code === "invalid_union" && valueAt(data, path) !== undefined) {
      const inside = deepest(issue);
      if (inside !== null) return problemsOf(inside, data, known, path);
    }
    return [{ path, at: issue.code === "invalid_key" ? "key" : "value", message: say(issue, valueAt(data, path)) }];
  });
}
