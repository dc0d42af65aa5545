import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const isRoot = process.geteuid?.() === 0;
let parent = "";
let checkout = "";

/** What of a checkout the script looks at; its node_modules may be empty. */
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "cohort-closed-"));
  checkout = join(parent, "project");
  for (const directory of ["scripts", "runtime", "node_modules"]) mkdirSync(join(checkout, directory), { recursive: true, mode: 0o755 });
  for (const file of ["scripts/with-reachable-checkout.ts", "scripts/process.ts", "package.json", "runtime/contract.ts"])
    cpSync(join(root, file), join(checkout, file));
});

afterEach(() => {
  expect(mountsOfCheckouts()).toEqual([]);
  rmSync(parent, { recursive: true, force: true });
});

function mountsOfCheckouts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" /run/cohort-checkout.") && line.includes(`/project `));
}

function environment(): NodeJS.ProcessEnv {
  const { SUDO_UID: _, ...rest } = process.env;
  return rest;
}

function runThere(shell: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const script = join(checkout, "scripts/with-reachable-checkout.ts");
  return spawnSync(process.execPath, [script, "sh", "-c", shell], { encoding: "utf8", timeout: 20_000, env: environment() });
}

const READ_AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups cat package.json";

describe("a checkout that root's successor cannot reach", () => {
  test("is mounted where it can be read, for as long as the command runs", (context) => {
    context.skip(!isRoot, "needs root to mount");
    const result = runThere(`pwd; ${READ_AS_NOBODY}; exit 7`);
    expect(result.status).toBe(7);
    expect(result.stdout).toMatch(/^\/run\/cohort-checkout\.[0-9a-f]{8}\/project\n/);
    expect(result.stdout).toContain('"name": "cohort"');
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("may itself be a 0700 directory, and what the command writes to dist stays", (context) => {
    context.skip(!isRoot, "needs root to mount");
    chmodSync(checkout, 0o700);
    const result = runThere(`${READ_AS_NOBODY} && echo kept > dist/file`);
    expect(result.status).toBe(0);
    expect(readFileSync(join(checkout, "dist/file"), "utf8")).toBe("kept\n");
  });

  test("with files that only root may read is refused with what to do", (context) => {
    context.skip(!isRoot, "needs root to mount");
    chmodSync(join(checkout, "package.json"), 0o600);
    const result = runThere("true");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`chmod -R o+rX '${checkout}'`);
  });

  test("is unmounted by the next run after the first was killed", async (context) => {
    context.skip(!isRoot, "needs root to mount");
    const killed = spawn(process.execPath, [join(checkout, "scripts/with-reachable-checkout.ts"), "sleep", "2"], {
      stdio: "ignore",
      env: environment(),
    });
    for (let wait = 0; wait < 100 && mountsOfCheckouts().length === 0; wait += 1) await sleep(50);
    expect(mountsOfCheckouts()).toHaveLength(1);
    killed.kill("SIGKILL");
    await once(killed, "close");
    expect(mountsOfCheckouts()).toHaveLength(1);
    expect(runThere("true").status).toBe(0);
  });

  test("is unmounted when the command is ended by a signal", async (context) => {
    context.skip(!isRoot, "needs root to mount");
    const ended = spawn(process.execPath, [join(checkout, "scripts/with-reachable-checkout.ts"), "sleep", "30"], {
      stdio: "ignore",
      env: environment(),
    });
    for (let wait = 0; wait < 100 && mountsOfCheckouts().length === 0; wait += 1) await sleep(50);
    ended.kill("SIGTERM");
    expect(await once(ended, "close")).toEqual([143, null]);
  });
});

test("a checkout that everyone can read is used where it is", () => {
  chmodSync(parent, 0o755);
  const result = runThere("pwd");
  expect(result).toMatchObject({ status: 0, stdout: `${checkout}\n`, stderr: "" });
});

test("an older Node hands over to the pinned one", (context) => {
  const older = "/usr/bin/node";
  context.skip(!existsSync(older), "no other Node is installed");
  writeFileSync(join(checkout, "scripts/which.ts"), "console.log(process.versions.node as string);\n");
  const guard = spawnSync(older, [join(root, "scripts/node24.mjs"), join(checkout, "scripts/which.ts")], {
    encoding: "utf8",
    timeout: 10_000,
  });
  expect(guard.stderr).toBe("");
  expect(Number(guard.stdout.split(".")[0])).toBeGreaterThanOrEqual(24);
});
