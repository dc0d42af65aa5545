import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findCycle } from "./import-cycle.ts";
import { functionLengths } from "./c-functions.ts";
import * as rules from "./rules.ts";
import { readRepository, root, type SourceFile } from "./source-file.ts";

const files = readRepository();
const scripts = files.filter(
  (file) => /\.(ts|mjs)$/.test(file.path) && !file.path.includes("/hostile/") && !file.path.includes("/fixtures/"),
);
const product = scripts.filter((file) => rules.PRODUCT.some((prefix) => file.path.startsWith(prefix)));
const docs = files.filter((file) => file.path.endsWith(".md"));

function startsWithAny(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(prefix));
}

describe("imports", () => {
  test("a folder imports only what its rank allows", () => {
    const wrong = scripts.flatMap((file) => {
      const rule = rules.FOLDER_RULES.filter(({ folder }) => file.path.startsWith(folder)).toSorted(
        (a, b) => b.folder.length - a.folder.length,
      )[0];
      if (rule === undefined) return [];
      return file.imports
        .filter(({ specifier, path }) => !isAllowed(rule, specifier, path))
        .map(({ specifier }) => `${file.path} imports ${specifier}`);
    });
    expect(wrong, `allowed: ${JSON.stringify(rules.FOLDER_RULES.map(({ folder, imports }) => ({ folder, imports })))}`).toEqual([]);
  });

  test("no file reaches itself through its imports", () => {
    expect(findCycle(scripts)).toBeNull();
  });
});

function isAllowed(rule: rules.FolderRule, specifier: string, path: string | null): boolean {
  if (path !== null) return path.startsWith(rule.folder) || startsWithAny(path, rule.imports);
  if (specifier.startsWith("node:")) return rule.nodeModules === "allowed";
  return rule.packages === undefined || rule.packages.includes(specifier.split("/")[0] ?? "");
}

describe("size", () => {
  test("files stay short", () => {
    const limit = ({ path }: SourceFile): number => (path.startsWith("test/") ? rules.TEST_FILE_LINES_MAX : rules.FILE_LINES_MAX);
    const code = files.filter(({ path }) => /\.(ts|mjs|c|h)$/.test(path));
    const long = code.filter((file) => file.lines > limit(file));
    const tooLong = long.filter(({ path, lines }) => lines > (rules.LONG_FILES[path] ?? 0)).map(({ path, lines }) => `${path}: ${lines}`);
    expect(tooLong, "split it by responsibility").toEqual([]);
    const stale = Object.keys(rules.LONG_FILES).filter((path) => !long.some((file) => file.path === path));
    expect(stale, "these became short: take them off LONG_FILES").toEqual([]);
  });

  test("functions of the warden stay short", () => {
    const long = files
      .filter(({ path }) => path.endsWith(".c"))
      .flatMap((file) => functionLengths(file.path, file.text))
      .filter(({ lines }) => lines > rules.FUNCTION_LINES_MAX);
    const tooLong = long
      .filter(({ name, lines }) => lines > (rules.LONG_FUNCTIONS[name] ?? 0))
      .map(({ name, lines }) => `${name}: ${lines}`);
    expect(tooLong, "split it by responsibility").toEqual([]);
    const stale = Object.keys(rules.LONG_FUNCTIONS).filter((name) => !long.some((found) => found.name === name));
    expect(stale, "these became short: take them off LONG_FUNCTIONS").toEqual([]);
  });
});

describe("dangerous things stand where their name says so", () => {
  test("only *.root.ts changes the user of a process, and each of them does", () => {
    const wrong = product.filter((file) => rules.ROOT_CALLS.test(file.text) !== file.path.endsWith(".root.ts")).map(({ path }) => path);
    expect(wrong).toEqual([]);
  });

  test("only the named files start processes", () => {
    const starting = product
      .filter((file) => file.imports.some(({ specifier }) => specifier === "node:child_process"))
      .map(({ path }) => path);
    expect(starting.toSorted()).toEqual(Object.keys(rules.STARTS_PROCESSES).toSorted());
  });

  test("what is banned has a replacement", () => {
    const found = rules.BANS.flatMap((ban) =>
      product
        .filter(({ path }) => startsWithAny(path, ban.within ?? rules.PRODUCT) && !startsWithAny(path, ban.except ?? []))
        .flatMap((file) => matchingLines(file, ban.pattern).map((line) => `${line}: use ${ban.instead}`)),
    );
    expect(found).toEqual([]);
  });
});

/** Comments may name what the code must not use. */
function matchingLines(file: SourceFile, pattern: RegExp): string[] {
  return file.text.split("\n").flatMap((line, index) => {
    const code = line.replace(/^\s*(\/?\*|\/\/).*$/, "").replace(/\s\/\/ .*$/, "");
    return pattern.test(code) ? [`${file.path}:${index + 1}`] : [];
  });
}

describe("names and words", () => {
  test("no file is named for nothing in particular", () => {
    expect(scripts.filter(({ path }) => rules.VAGUE_NAMES.test(path)).map(({ path }) => path)).toEqual([]);
  });

  test("file names are kebab-case", () => {
    const code = files.filter(({ path }) => /\.(ts|mjs|c|h)$/.test(path));
    expect(code.filter(({ path }) => /[A-Z_]/.test(path)).map(({ path }) => path)).toEqual([]);
  });

  test("nothing names the place where it was written", () => {
    const found = files.filter(({ path, text }) => path !== "package-lock.json" && rules.WORKPLACE.test(text)).map(({ path }) => path);
    expect(found).toEqual([]);
  });
});

describe("documents are true", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> };

  test("each npm script that is named exists", () => {
    const wrong = docs.flatMap((file) =>
      [...file.text.matchAll(/\bnpm run ([a-z][\w:-]*)/g)]
        .filter(([, name = ""]) => manifest.scripts[name] === undefined)
        .map(([match]) => `${file.path}: ${match}`),
    );
    expect(wrong).toEqual([]);
  });

  test("each path that is named exists", () => {
    const folders = new Set(files.map(({ folder }) => folder));
    const wrong = docs.flatMap((file) =>
      [...file.text.matchAll(/`([\w.-]+\/[\w./*-]*)`/g)]
        .map(([, path = ""]) => path)
        .filter(
          (path) =>
            folders.has(path.split("/")[0] ?? "") && !path.includes("*") && !path.startsWith("dist/") && !existsSync(join(root, path)),
        )
        .map((path) => `${file.path}: ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  test("each relative link leads somewhere", () => {
    const wrong = docs.flatMap((file) =>
      [...file.text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map(([, path = ""]) => path)
        .filter((path) => !existsSync(join(root, file.path, "..", path)))
        .map((path) => `${file.path}: ${path}`),
    );
    expect(wrong).toEqual([]);
  });
});
