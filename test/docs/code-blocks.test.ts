import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const directory = join(root, "build", `doc-blocks-${process.pid}`);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function documents(): string[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((path) => join("docs", path));
  const examples = readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" }).map((path) => join("examples", path));
  return [...readdirSync(root), ...docs, ...examples].filter((path) => path.endsWith(".md"));
}

/** The blocks marked `ts`; a reader's `cohort` is this checkout's sdk. */
function blocksOf(path: string): string[] {
  const text = readFileSync(join(root, path), "utf8");
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = ""]) =>
    code.replaceAll('from "cohort"', 'from "../../sdk/index.ts"').replaceAll(/from "cohort\/(\w+)"/g, 'from "../../sdk/$1.ts"'),
  );
}

test("each TypeScript block of the documents type-checks", () => {
  mkdirSync(directory, { recursive: true });
  const names = documents().flatMap((path) =>
    blocksOf(path).map((code, index) => {
      const name = `${path.replaceAll("/", "-")}-${index + 1}.ts`;
      writeFileSync(join(directory, name), `${code}\nexport {};\n`);
      return name;
    }),
  );
  expect(names.length).toBeGreaterThan(0);
  const config = { extends: "../../tsconfig.json", include: ["*.ts"], exclude: [], compilerOptions: { noUnusedLocals: false } };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config));
  const result = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", directory], { cwd: root, encoding: "utf8", timeout: 25_000 });
  expect(result.stdout).toBe("");
  expect(result.status).toBe(0);
});
