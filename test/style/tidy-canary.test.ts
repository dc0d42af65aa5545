/** The tidy test must be able to fail. */
import { expect, test } from "vitest";
import { functionLengths } from "./c-functions.ts";
import { findCycle } from "./import-cycle.ts";
import { BANS, ROOT_CALLS, VAGUE_NAMES, WORKPLACE } from "./rules.ts";
import type { SourceFile } from "./source-file.ts";

function file(path: string, ...imports: readonly string[]): SourceFile {
  return { path, folder: "", text: "", lines: 1, imports: imports.map((to) => ({ specifier: to, path: to, typeOnly: false })) };
}

test("a cycle of three files is found", () => {
  expect(findCycle([file("a", "b"), file("b", "c"), file("c", "a")])).toEqual(["a", "b", "c", "a"]);
});

test("a diamond is no cycle", () => {
  expect(findCycle([file("a", "b", "c"), file("b", "d"), file("c", "d"), file("d")])).toBeNull();
});

test("the length of a C function is counted from its name to its brace", () => {
  expect(functionLengths("x.c", "static int one(void)\n{\n\treturn 1;\n}\n\nstruct a {\n\tint b;\n};\n")).toEqual([
    { name: "x.c:one", lines: 4 },
  ]);
});

test("each ban matches what it bans", () => {
  const planted = [
    "Math.random()",
    "Date.now()",
    "async () => {}",
    "console.log(1)",
    "process.exit(1)",
    "// @ts-ignore",
    "TODO",
    "eval(x)",
    "enum A {}",
    "shell: true",
  ];
  expect(planted.filter((text) => !BANS.some(({ pattern }) => pattern.test(text)))).toEqual([]);
  expect([
    ROOT_CALLS.test("process.setuid(1)"),
    VAGUE_NAMES.test("vm/utils.ts"),
    WORKPLACE.test(["see ", "work", "main"].join("/")),
  ]).toEqual([true, true, true]);
});
