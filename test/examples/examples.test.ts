import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OwnHome, ownHomeUnavailable } from "../daemon/own-home.ts";

const root = join(import.meta.dirname, "../..");
const examples = readdirSync(join(root, "examples"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const EXAMPLE_TIMEOUT_MS = 240_000;
const OUTPUT_CHARS_MAX = 200_000;

let home: OwnHome | null = null;

beforeAll(() => {
  if (ownHomeUnavailable === null) home = OwnHome.make();
});

afterAll(async () => {
  await home?.end();
});

async function run(name: string, directory: string): Promise<{ readonly status: number | null; readonly output: string }> {
  const example = spawn(process.execPath, [join(root, "examples", name, "main.ts")], {
    cwd: root,
    env: { ...process.env, COHORT_HOME: directory },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: EXAMPLE_TIMEOUT_MS,
  });
  let output = "";
  const keep = (bytes: Buffer): void => {
    output = `${output}${bytes.toString()}`.slice(-OUTPUT_CHARS_MAX);
  };
  example.stdout.on("data", keep);
  example.stderr.on("data", keep);
  const status = await new Promise<number | null>((resolve, reject) => {
    example.once("error", reject);
    example.once("close", resolve);
  });
  return { status, output };
}

describe("each example runs to its end and its assertions hold", () => {
  test.for(examples)("%s", { timeout: EXAMPLE_TIMEOUT_MS }, async (name, context) => {
    context.skip(home === null, ownHomeUnavailable ?? "");
    const { status, output } = await run(name, home?.directory ?? "");
    expect(status, output).toBe(0);
    if (name !== "01-audit-dependencies") return;
    expect(output).toContain("phone home             no connection, no name resolved, 0 calls arrived");
    expect(output).toContain("read ~/.ssh            0 files");
  });
});
