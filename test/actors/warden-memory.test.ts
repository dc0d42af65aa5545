import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WardenMemory } from "../../actors/warden-memory.ts";

let directory: string;
const path = (): string => join(directory, "warden-id");

async function nextLife(): Promise<WardenMemory> {
  const memory = new WardenMemory(path());
  await memory.load();
  return memory;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cohort-memory-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a session that an earlier warden may have run is not the present one's, also in the life after the next", async () => {
  const first = await nextLife();
  expect(first.warden("asked")).toBeNull();
  await first.keep("w1", []);
  const second = await nextLife();
  expect(second.warden("asked")).toBe("w1");
  await second.keep("w2", ["asked"]);
  const third = await nextLife();
  expect(third.warden("started-since")).toBe("w2");
  expect(third.warden("asked")).not.toBe("w2");
  await third.keep("w2", []);
  expect((await nextLife()).warden("asked")).not.toBe("w2");
});

test("a connection to the same warden writes nothing", async () => {
  await (await nextLife()).keep("w1", []);
  const written = statSync(path(), { bigint: true });
  await (await nextLife()).keep("w1", []);
  const now = statSync(path(), { bigint: true });
  expect([now.ino, now.mtimeNs]).toEqual([written.ino, written.mtimeNs]);
});
