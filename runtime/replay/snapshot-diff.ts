/** Where two JSON values differ, as paths with both values. */
import type { Json } from "../kernel/actions.ts";
import { isObject } from "../kernel/json.ts";

export interface Change {
  /** `context.exit.code`; the empty path is the whole. */
  readonly path: string;
  /** Absent: there is nothing at this path. */
  readonly before?: Json;
  readonly after?: Json;
}

/** More tell a reader nothing. */
const CHANGES_MAX = 100;

function join(path: string, step: string): string {
  return path === "" ? step : `${path}.${step}`;
}

/** Arrays of objects and of values alike are compared place by place. */
export function changesBetween(before: Json | undefined, after: Json | undefined): readonly Change[] {
  const changes: Change[] = [];
  const visit = (path: string, one: Json | undefined, other: Json | undefined): void => {
    if (changes.length >= CHANGES_MAX || Object.is(one, other)) return;
    const bothArrays = Array.isArray(one) && Array.isArray(other);
    if (bothArrays || (isObject(one) && isObject(other))) {
      const left = one as { readonly [key: string]: Json | undefined };
      const right = other as { readonly [key: string]: Json | undefined };
      for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) visit(join(path, key), left[key], right[key]);
      return;
    }
    changes.push({ path, ...(one === undefined ? {} : { before: one }), ...(other === undefined ? {} : { after: other }) });
  };
  visit("", before, after);
  return changes;
}
