/** What a directory held before it was granted for writing, and how it comes back. With the real cohort-apply. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ApplyJournals } from "../../actors/apply-journals.ts";
import { Content } from "../../actors/content.ts";
import { UndoCopies } from "../../actors/undo-copies.ts";
import { StagedWork } from "../../vm/staged-work.ts";
import { directory, file, readTree, symlink, writeTree, type Tree } from "../vm/staged-tree.ts";

let base: string;
let source: string;
let work: StagedWork;
let undo: UndoCopies;
const tree: Tree = {
  a: file("a", 0o640),
  empty: file(""),
  d: directory(0o750),
  "d/b": file("b", 0o755),
  "d/closed": directory(0o500),
  ".git": directory(),
  ".git/config": file("config"),
  link: symlink("d/b"),
};

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "undo-copies-"));
  source = join(base, "source");
  mkdirSync(source);
  mkdirSync(join(base, "content/run1"), { recursive: true });
  work = new StagedWork();
  undo = new UndoCopies({ content: new Content(join(base, "content")), journals: new ApplyJournals(join(base, "applies")), work });
});

afterEach(async () => {
  await work.close();
  rmSync(base, { recursive: true, force: true });
});

const grant = (): { run: string; grant: string; path: string } => ({ run: "run1", grant: "g17", path: source });

test("what was overwritten, deleted, replaced or closed comes back, and what was added stays", async () => {
  writeTree(source, tree);
  expect(await undo.make(grant())).toBe("copied");
  writeFileSync(join(source, "a"), "ruined");
  chmodSync(join(source, "d/b"), 0o600);
  rmSync(join(source, "link"));
  symlinkSync("/etc/passwd", join(source, "link"));
  rmSync(join(source, ".git"), { recursive: true });
  rmSync(join(source, "empty"));
  mkdirSync(join(source, "empty"));
  writeFileSync(join(source, "added"), "added");
  const restored = await undo.restore(grant());
  expect(restored.rest).toEqual([]);
  expect(restored.applied).toBe(6);
  expect(readTree(source)).toEqual({ ...tree, added: file("added") });
  expect(await undo.restore(grant())).toMatchObject({ applied: 0, rest: [] });
  expect(readdirSync(join(base, "applies"))).toEqual([]);
});

test("a copy that stands is not made again from what the child left", async () => {
  writeTree(source, { a: file("before") });
  await undo.make(grant());
  writeFileSync(join(source, "a"), "after");
  expect(await undo.make(grant())).toBe("copied");
  await undo.restore(grant());
  expect(readTree(source)).toEqual({ a: file("before") });
});

test("what the child made of a file that cannot be put back is told", async () => {
  writeTree(source, { a: file("a"), b: file("b"), c: file("c") });
  await undo.make(grant());
  rmSync(join(source, "a"));
  execFileSync("mkfifo", [join(source, "a")]);
  rmSync(join(source, "b"));
  mkdirSync(join(source, "b"));
  writeFileSync(join(source, "b/mine"), "x");
  writeFileSync(join(source, "c"), "ruined");
  const restored = await undo.restore(grant());
  expect(restored.applied).toBe(1);
  expect(restored.rest.map(({ path, outcome }) => [path, outcome])).toEqual([
    ["a", "refused"],
    ["b", "conflict"],
  ]);
});

test("a directory over the limits has no copy, and a file is none", async () => {
  writeTree(source, { a: file("a") });
  truncateSync(join(source, "a"), 257 * 1024 ** 2);
  expect(await undo.make(grant())).toBe("too-large");
  await expect(undo.restore(grant())).rejects.toMatchObject({ code: "CONTENT_GONE" });
  expect(await undo.make({ ...grant(), path: join(source, "a") })).toBe("none");
  expect(await undo.make({ ...grant(), path: join(source, "nowhere") })).toBe("none");
});

test("a source that became a link is not restored through it", async () => {
  writeTree(source, { a: file("a") });
  await undo.make(grant());
  rmSync(source, { recursive: true });
  mkdirSync(join(base, "elsewhere"));
  symlinkSync(join(base, "elsewhere"), source);
  await expect(undo.restore(grant())).rejects.toMatchObject({ code: "APPLY_FAILED" });
  expect(readdirSync(join(base, "elsewhere"))).toEqual([]);
});
