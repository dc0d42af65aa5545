/** One short name for a state, the same for equal states whatever the order of their keys: a restored snapshot may have another than a living one. */
import { hash } from "node:crypto";
import type { Json } from "./actions.ts";
import { isObject } from "./json.ts";

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.keys(value)
    .toSorted()
    .map((key): [string, Json] => [key, sorted(value[key] ?? null)]);
  return Object.fromEntries(entries);
}

/** Of a snapshot as JSON: the first 32 hex digits of the SHA-256 of its canonical form. */
export function stateHash(snapshot: string): string {
  return hash("sha256", JSON.stringify(sorted(JSON.parse(snapshot) as Json)), "hex").slice(0, 32);
}
