import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROTECTED_NAMES } from "../../runtime/kernel/protected-names.ts";

test("the protected names of the C programs are those of cohortd", () => {
  const header = readFileSync(join(import.meta.dirname, "../../vm/warden/protected-names.h"), "utf8");
  const [, list = ""] = /#define PROTECTED_NAMES([\s\S]*?)\n\n/.exec(header) ?? [];
  expect([...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name)).toEqual(PROTECTED_NAMES);
});
