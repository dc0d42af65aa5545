import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { takeStartLock } from "../../app/daemon/start-lock.ts";

let directory = "";
let path = "";
const holders: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lock-"));
  path = join(directory, "start.lock");
});

afterEach(() => {
  for (const holder of holders.splice(0)) holder.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

async function holder(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./lock-holder.ts", import.meta.url)), path], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  holders.push(child);
  if (child.stdout !== null) await once(child.stdout, "data", { signal: AbortSignal.timeout(10_000) });
  return child;
}

test("a lock that another process holds is waited for, so long and no longer", async () => {
  await holder();
  const before = performance.now();
  expect(() => takeStartLock(path, 300)).toThrow(expect.objectContaining({ code: "DEADLINE" }));
  expect(performance.now() - before).toBeGreaterThan(200);
});

test("kill -9 of the holder releases it", async () => {
  const child = await holder();
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  takeStartLock(path, 1000).release();
});

test("a released lock can be taken again", () => {
  takeStartLock(path, 100).release();
  takeStartLock(path, 100).release();
});
