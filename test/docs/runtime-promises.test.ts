/** docs/design/runtime.md: each promise names a test that exists, and its limits are the code's. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import * as limits from "../../runtime/kernel/limits.ts";

const root = join(import.meta.dirname, "../..");
const path = join(root, "docs/design/runtime.md");
const text = readFileSync(path, "utf8");

/** Here nothing is promised. */
const WITHOUT = "What is not guaranteed";
const LINK = /\[shown\]\(([^ )]+) "([^"]+)"\)/g;

function isTitle(source: string, title: string): boolean {
  const words = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(String.raw`\(\s*(["'\`])${words}\1`).test(source);
}

/** What is wrong with a document that stands at `place`. */
function problems(document: string, place: string): string[] {
  const found: string[] = [];
  for (const section of document.split(/^## /m).slice(1)) {
    const [name = "", ...lines] = section.split("\n");
    if (name === WITHOUT) continue;
    if (!section.includes("[shown](")) found.push(`${name}: nothing is shown`);
    for (const line of lines.filter((text) => text.startsWith("- ")))
      if (!line.includes("[shown](")) found.push(`${name}: a promise without a test: ${line}`);
  }
  for (const [, file = "", title = ""] of document.matchAll(LINK)) {
    const target = join(dirname(place), file);
    if (!existsSync(target)) found.push(`no file ${file}`);
    else if (!isTitle(readFileSync(target, "utf8"), title)) found.push(`no test in ${file}: ${title}`);
  }
  if (document.split("[shown](").length - 1 !== [...document.matchAll(LINK)].length) found.push("a link without file and title");
  return found;
}

describe("docs/design/runtime.md", () => {
  it("names for each promise a test that exists", () => {
    expect(problems(text, path)).toEqual([]);
    expect([...text.matchAll(LINK)].length).toBeGreaterThan(40);
  });

  it("states the limits as the code has them", () => {
    const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)]);
    expect(rows.length).toBeGreaterThan(8);
    const values = new Map<unknown, unknown>(Object.entries(limits));
    expect(rows).toEqual(rows.map(([name]) => [name, values.get(name)]));
  });
});

describe("a document with a wrong promise", () => {
  const directory = join(root, "build", `promises-${process.pid}`);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const planted = [
    ['- It holds. [shown](a.test.ts "it holds")', []],
    ['- It holds. [shown](a.test.ts "it does not hold")', ["no test in a.test.ts: it does not hold"]],
    ['- It holds. [shown](b.test.ts "it holds")', ["no file b.test.ts"]],
    ["- It holds. [shown](a.test.ts)", ["a link without file and title"]],
    ['- It holds.\n- It, too. [shown](a.test.ts "it holds")', ["Loop: a promise without a test: - It holds."]],
    ["It holds.", ["Loop: nothing is shown"]],
    ['It is said in a comment. [shown](a.test.ts "is only mentioned")', ["no test in a.test.ts: is only mentioned"]],
  ] as const;
  it.each(planted)("%j is found", (promise, expected) => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "a.test.ts"), 'it.each(cases)(\n  "it holds", () => {});\n// "is only mentioned"\n');
    expect(problems(`# Title\n\n## Loop\n${promise}\n\n## ${WITHOUT}\n- Anything.\n`, join(directory, "doc.md"))).toEqual(expected);
  });
});
