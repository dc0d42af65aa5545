import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { errorTable } from "../../runtime/kernel/error-table.ts";
import { ERROR_DOCS_PATH, errorDocs } from "../../scripts/error-docs.ts";

const written = readFileSync(ERROR_DOCS_PATH, "utf8");

test("docs/errors.md lists exactly the codes of the error table", () => {
  const listed = [...written.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
  expect(listed).toEqual(Object.keys(errorTable));
});

test("docs/errors.md says what the error table says (else: npm run docs)", () => {
  expect(written).toBe(errorDocs());
});
