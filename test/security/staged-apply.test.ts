/** What cohort-apply refuses, what it checks, and that it is whole after a kill at each of its steps. Archives are made here: hostile ones, too. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PROTECTED_NAMES } from "../../runtime/kernel/protected-names.ts";
import { applyProgram, buildApply } from "../../vm/apply-binary.ts";
import { recoverApply, runApply, type ApplyProgram, type ApplyReport, type ApplyRequest } from "../../vm/apply-process.ts";
import { buildProgram } from "../../vm/c-program.ts";
import {
  archiveOf,
  changedMode,
  deleted,
  diffOf,
  directory,
  END,
  file,
  MAGIC,
  put,
  readTree,
  refused,
  symlink,
  writeTree,
  type Tree,
} from "../vm/staged-tree.ts";

let program: ApplyProgram;
let base: string;
let target: string;
let journal: string;

beforeAll(async () => {
  program = { path: await buildApply() };
});

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "staged-apply-"));
  target = join(base, "target");
  journal = join(base, "journal");
  mkdirSync(target);
});

afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

async function apply(archive: Buffer, options: Partial<ApplyRequest> = {}, by = program): Promise<ApplyReport> {
  const path = join(base, "archive");
  writeFileSync(path, archive);
  const report = await runApply(by, {
    target,
    archive: path,
    journal,
    accept: [],
    only: null,
    waive: [],
    conflicts: "all-or-nothing",
    check: false,
    ...options,
  });
  rmSync(journal, { force: true });
  return report;
}

function outcomes(report: ApplyReport): readonly string[] {
  return [report.result, ...[...report.entries.values()].map(({ status, reason }) => (reason === "-" ? status : `${status} ${reason}`))];
}

/** Its staging directory is gone, too. */
function isClean(): boolean {
  return !readdirSync(target).some((name) => name.startsWith(".cohort-apply"));
}

const changes: { readonly from: Tree; readonly to: Tree } = {
  from: {
    kept: file("kept"),
    edited: file("old", 0o600),
    gone: file("gone"),
    "to-dir": file("was a file"),
    "to-file": directory(),
    "to-file/in": file("in"),
    "to-link": file("was a file"),
    mode: file("same"),
    tree: directory(),
    "tree/a": file("a"),
    "tree/b": directory(),
    "tree/b/c": file("c"),
    closed: directory(0o755),
    link: symlink("kept"),
  },
  to: {
    kept: file("kept"),
    edited: file("new", 0o640),
    "to-dir": directory(),
    "to-dir/x": file("x"),
    "to-file": file("was a directory", 0o755),
    "to-link": symlink("kept"),
    mode: file("same", 0o755),
    closed: directory(0o500),
    link: symlink("edited"),
    made: directory(0o555),
    "made/deep": directory(),
    "made/deep/file": file("deep"),
    "made/up": symlink("../kept"),
  },
};

describe("an apply", () => {
  test("gives the target what the child had: files, modes, links, directories in the place of files and files in the place of directories", async () => {
    writeTree(target, changes.from);
    const report = await apply(diffOf(changes.from, changes.to));
    expect(new Set(outcomes(report))).toEqual(new Set(["applied"]));
    expect(readTree(target)).toEqual(changes.to);
  });

  test("of any change between two small trees gives the second one", async () => {
    const node = fc.oneof(
      fc.record({ type: fc.constant("file" as const), content: fc.string({ maxLength: 5 }), mode: fc.constantFrom(0o644, 0o755, 0o600) }),
      fc.constant(symlink("x")),
    );
    const name = fc.constantFrom("a", "b", "c");
    const paths = fc.array(fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), node), { maxLength: 8 }).map((entries) => {
      const tree: Record<string, Tree[string]> = {};
      for (const [components, leaf] of entries) {
        const parents = components.slice(0, -1).map((_, at) => components.slice(0, at + 1).join("/"));
        if (parents.some((path) => tree[path] !== undefined && tree[path].type !== "directory") || tree[components.join("/")] !== undefined)
          continue;
        for (const path of parents) tree[path] = directory();
        tree[components.join("/")] = leaf;
      }
      return tree;
    });
    await fc.assert(
      fc.asyncProperty(paths, paths, async (from, to) => {
        rmSync(target, { recursive: true, force: true });
        mkdirSync(target);
        writeTree(target, from);
        expect(["applied", "nothing"]).toContain((await apply(diffOf(from, to))).result);
        expect(readTree(target)).toEqual(to);
      }),
      { numRuns: 60 },
    );
  });

  test("killed at any of its steps is finished or taken back by the next call", async () => {
    const by: ApplyProgram = {
      path: await buildProgram({ ...applyProgram, binary: "apply/cohort-apply-steps", flags: ["-DCOHORT_APPLY_STEPS"] }),
    };
    const archive = diffOf(changes.from, changes.to);
    const seen = new Set<string>();
    let steps = 0;
    for (; steps < 500; steps += 1) {
      writeTree(target, changes.from);
      const dying = { ...by, env: { COHORT_APPLY_STEPS: String(steps) } };
      const ended = await apply(archive, {}, dying).then(
        () => true,
        () => false,
      );
      const before = ended ? null : await recoverApply(program, journal);
      const result = before?.result ?? "applied";
      seen.add(result);
      expect(isClean(), `step ${steps}`).toBe(true);
      expect(readTree(target), `step ${steps}: ${result}`).toEqual(result === "applied" ? changes.to : changes.from);
      if (before !== null && result === "applied") {
        expect(new Set(outcomes(before)), `step ${steps}`).toEqual(new Set(["applied"]));
        // Asked again, it says the same until it is told to forget.
        expect(outcomes(await recoverApply(program, journal))).toEqual(outcomes(before));
      }
      rmSync(journal, { force: true });
      rmSync(target, { recursive: true });
      mkdirSync(target);
      if (ended) break;
    }
    expect(steps).toBeGreaterThan(30);
    expect(seen).toEqual(new Set(["applied", "rolled-back"]));
  });

  test("killed twice, the second time while it recovers, is whole all the same", async () => {
    const by: ApplyProgram = {
      path: await buildProgram({ ...applyProgram, binary: "apply/cohort-apply-steps", flags: ["-DCOHORT_APPLY_STEPS"] }),
    };
    const archive = diffOf(changes.from, changes.to);
    for (let first = 10; first < 60; first += 7) {
      for (let second = 0; second < 40; second += 6) {
        writeTree(target, changes.from);
        await apply(archive, {}, { ...by, env: { COHORT_APPLY_STEPS: String(first) } }).catch(() => {});
        await recoverApply({ ...by, env: { COHORT_APPLY_STEPS: String(second) } }, journal).catch(() => {});
        await recoverApply(program, journal);
        const tree = readTree(target);
        expect([changes.from, changes.to], `steps ${first}, ${second}`).toContainEqual(tree);
        expect(isClean()).toBe(true);
        rmSync(journal, { force: true });
        rmSync(target, { recursive: true });
        mkdirSync(target);
      }
    }
  });
});

describe("an apply refuses", () => {
  test("everything, when one entry conflicts; unless it is told to leave that one out", async () => {
    writeTree(target, { a: file("changed by the person"), b: file("b") });
    const archive = archiveOf(put("a", file("new"), file("a")), put("b", file("new b"), file("b")), put("c", file("c")));
    expect(outcomes(await apply(archive))).toEqual(["conflict", "conflict changed", "held", "held"]);
    expect(readTree(target)).toEqual({ a: file("changed by the person"), b: file("b") });
    expect(outcomes(await apply(archive, { conflicts: "skip" }))).toEqual(
      ["applied", "conflict changed", "applied", "applied"].with(0, "partly"),
    );
    expect(readTree(target)).toEqual({ a: file("changed by the person"), b: file("new b"), c: file("c") });
  });

  test.each<readonly [string, Tree, Buffer]>([
    ["a file that the person deleted meanwhile", {}, put("a", file("new"), file("a"))],
    ["a file that the person made meanwhile", { a: file("mine") }, put("a", file("new"))],
    ["a deletion of what the person changed", { a: file("mine") }, deleted("a", file("a"))],
    ["a deletion of what is gone already", {}, deleted("a", file("a"))],
    ["a file in a directory that the person removed", {}, put("d/a", file("new"))],
    ["a file in a directory that is a link now", { e: directory(), d: symlink("e") }, put("d/a", file("new"))],
    ["a directory where the person made a file", { d: file("mine") }, put("d", directory())],
    ["a link that leads elsewhere now", { l: symlink("other") }, put("l", symlink("new"), symlink("old"))],
    ["a mode of what the person changed", { a: file("mine") }, changedMode("a", 0o755, file("a"))],
    ["a deletion of a directory in which the person made a file", { d: directory(), "d/mine": file("mine") }, deleted("d", directory())],
  ])("%s, as a conflict", async (_, tree, record) => {
    writeTree(target, tree);
    const report = await apply(archiveOf(record));
    expect(report.result).toBe("conflict");
    expect(report.entries.get(0)?.status).toBe("conflict");
    expect(readTree(target)).toEqual(tree);
  });

  test("what changed underneath after the child took it up, unless that was its own doing", async () => {
    writeTree(target, { a: file("a") });
    const archive = archiveOf(put("a", file("new"), file("a"), { flags: 1 }));
    expect(outcomes(await apply(archive))).toEqual(["conflict", "conflict changed-before"]);
    expect(outcomes(await apply(archive, { waive: [0] }))).toEqual(["applied", "applied"]);
  });

  test.each(PROTECTED_NAMES)("%s, wherever it stands and however it is written, until it is accepted by name", async (name) => {
    const records = [
      put(name, directory()),
      put(`${name}/hooks`, file("x")),
      put("d", directory()),
      put(`d/${name.toUpperCase()}`, file("x")),
    ];
    expect(outcomes(await apply(archiveOf(...records)))).toEqual([
      "applied",
      "refused protected",
      "refused protected",
      "applied",
      "refused protected",
    ]);
    expect(Object.keys(readTree(target))).toEqual(["d"]);
    const rest = await apply(archiveOf(...records), { accept: [name], only: [0, 1] });
    expect(outcomes(rest).slice(0, 3)).toEqual(["applied", "applied", "applied"]);
  });

  test("to delete a directory that keeps a protected name", async () => {
    const tree = { d: directory(), "d/.git": directory(), "d/.git/config": file("c"), "d/a": file("a") };
    writeTree(target, tree);
    const report = await apply(diffOf(tree, {}));
    expect(outcomes(report)).toEqual(["applied", "applied", "refused protected", "refused protected", "refused kept"]);
    expect(Object.keys(readTree(target)).toSorted()).toEqual(["d", "d/.git", "d/.git/config"]);
  });

  test.each([
    ["/etc/passwd", "link-escapes"],
    ["..", "link-escapes"],
    ["../../etc", "link-escapes"],
    ["a/../../..", "link-escapes"],
    ["sub/../x", "link-escapes"],
    ["./../../x", "link-escapes"],
  ])("a link to %s", async (to, reason) => {
    const report = await apply(archiveOf(put("d", directory()), put("d/l", symlink(to === ".." ? "../.." : to))));
    expect(report.entries.get(1)).toEqual({ status: "refused", reason });
    expect(Object.keys(readTree(target))).toEqual(["d"]);
  });

  test.each(["x", "./x", "../x", "../d/x", ".../x", "..x"])("no link to %s, which stays within", async (to) => {
    const report = await apply(archiveOf(put("d", directory()), put("d/l", symlink(to))));
    expect(report.entries.get(1)?.status).toBe("applied");
  });

  test("FIFOs, devices, sockets and set-user-id files, and never sets such a bit", async () => {
    const report = await apply(archiveOf(refused("fifo", 1), refused("device", 2), refused("suid", 4), put("a", file("x", 0o6755))));
    expect(outcomes(report)).toEqual(["applied", ...Array<string>(3).fill("refused not-applicable"), "applied"]);
    expect(readTree(target)).toEqual({ a: file("x", 0o755) });
  });

  test("an archive that is incomplete, and one that no walk wrote", async () => {
    expect((await apply(Buffer.concat([MAGIC, put("a", file("x")), Buffer.from([0, 1])]))).result).toBe("incomplete");
    for (const hostile of [
      archiveOf(put("../a", file("x"))),
      archiveOf(put("/tmp/a", file("x"))),
      archiveOf(put("a/./b", file("x"))),
      archiveOf(put("a", file("x")), put("a", file("y"))),
      Buffer.concat([MAGIC, put("a", file("x"))]),
      Buffer.concat([archiveOf(), END]),
      Buffer.from("something else"),
    ])
      await expect(apply(hostile)).rejects.toMatchObject({ code: "APPLY_FAILED" });
    expect(readTree(target)).toEqual({});
  });

  test("paths through a link of the target, into another file system, and out of it", async () => {
    const outside = join(base, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(target, "link"));
    mkdirSync(join(target, "mount"));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(target, "mount")]);
    try {
      const report = await apply(archiveOf(put("link/a", file("x")), put("mount/a", file("x"))), { conflicts: "skip" });
      expect(report.entries.get(0)?.status).toBe("conflict");
      if (isRoot) expect(report.entries.get(1)?.status).toBe("conflict");
      expect(readdirSync(outside)).toEqual([]);
    } finally {
      if (isRoot) execFileSync("umount", [join(target, "mount")]);
    }
  });

  test("a target that is a link", async () => {
    symlinkSync(target, `${target}-link`);
    expect((await apply(archiveOf(put("a", file("x"))), { target: `${target}-link` })).result).toBe("target-gone");
  });

  test("entries of a directory that is not applied", async () => {
    const report = await apply(archiveOf(put("d", directory()), put("d/a", file("x"))), { only: [1] });
    expect(outcomes(report)).toEqual(["nothing", "unselected", "refused parent"]);
  });
});

describe("an apply", () => {
  test("replaces one name of a hard link, and leaves the others as they are", async () => {
    writeTree(target, { a: file("shared") });
    linkSync(join(target, "a"), join(base, "elsewhere"));
    await apply(archiveOf(put("a", file("new"), file("shared"))));
    expect([readFileSync(join(target, "a"), "utf8"), readFileSync(join(base, "elsewhere"), "utf8")]).toEqual(["new", "shared"]);
  });

  test("keeps the group of a set-group-id directory and of the file it replaces", async () => {
    if (process.getuid?.() !== 0) return;
    mkdirSync(join(target, "g"));
    execFileSync("chgrp", ["12345", join(target, "g")]);
    chmodSync(join(target, "g"), 0o2775);
    writeTree(target, { a: file("a") });
    execFileSync("chgrp", ["12346", join(target, "a")]);
    const report = await apply(
      archiveOf(put("a", file("new"), file("a")), put("g/x", file("x")), put("g/d", directory()), put("g/d/y", file("y"))),
    );
    expect(report.result).toBe("applied");
    expect(["a", "g/x", "g/d", "g/d/y"].map((path) => statSync(join(target, path)).gid)).toEqual([12_346, 12_345, 12_345, 12_345]);
    expect(statSync(join(target, "g/d")).mode & 0o7777).toBe(0o2755);
  });

  test("never writes through a directory that is swapped for a link while it works", async () => {
    const outside = join(base, "outside");
    mkdirSync(outside);
    const files = Array.from({ length: 200 }, (_, index) => `d/f${index}`);
    const archive = archiveOf(...files.map((path) => put(path, file("x"))));
    for (let round = 0; round < 5; round += 1) {
      rmSync(join(target, "d"), { recursive: true, force: true });
      mkdirSync(join(target, "d"));
      const applied = new AbortController();
      const swap = async (): Promise<void> => {
        for (let count = 0; !applied.signal.aborted && count < 5000; count += 1) {
          renameSync(join(target, "d"), join(base, "aside"));
          symlinkSync(outside, join(target, "d"));
          await new Promise((resolve) => setImmediate(resolve));
          rmSync(join(target, "d"));
          renameSync(join(base, "aside"), join(target, "d"));
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const swapped = swap();
      await apply(archive, { conflicts: "skip" }).catch(() => {});
      applied.abort();
      await swapped;
      rmSync(journal, { force: true });
      expect(readdirSync(outside)).toEqual([]);
    }
  });

  test("of 10,000 files is as whole as one of ten", async () => {
    const from = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`f${index}`, file(`old ${index}`)]));
    const to = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`f${index}`, file(`new ${index}`)]));
    writeTree(target, from);
    expect((await apply(diffOf(from, to))).result).toBe("applied");
    expect(readdirSync(target).length).toBe(10_000);
    expect(existsSync(journal)).toBe(false);
  });

  test("of any archive at all, under the sanitizers, ends with a report or a refusal, and writes nothing that it only checks", async () => {
    const sanitized = join(base, "sanitized");
    const sources = [applyProgram.directory, "vm/warden"].map((directory) => join(import.meta.dirname, "../..", directory));
    const [own = "", warden = ""] = sources;
    const files = readdirSync(own).filter((name) => name.endsWith(".c"));
    const shared = applyProgram.shared.filter((name) => name.endsWith(".c"));
    const flags = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    execFileSync("cc", [...flags, ...files.map((name) => join(own, name)), ...shared.map((name) => join(warden, name)), "-o", sanitized]);
    writeTree(target, changes.from);
    const valid = diffOf(changes.from, changes.to);
    const by: ApplyProgram = { path: sanitized, env: { ASAN_OPTIONS: "exitcode=99:detect_leaks=0", UBSAN_OPTIONS: "exitcode=99" } };
    const edit = fc.tuple(fc.nat({ max: valid.length - 1 }), fc.integer({ min: 0, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 4 }), fc.nat({ max: 20 }), async (edits, cut) => {
        const bytes = Buffer.from(valid);
        for (const [where, value] of edits) bytes[where] = value;
        try {
          await apply(bytes.subarray(0, bytes.length - (cut > 15 ? cut : 0)), { check: true }, by);
        } catch (error) {
          // With its words on stderr: a sanitizer would say more than one line.
          expect(String(error)).toMatch(/: (the archive|this is no archive|there is something behind)[^\n]*$/);
        }
      }),
      { numRuns: 150 },
    );
    expect(readTree(target)).toEqual(changes.from);
  });

  test("of a person writes nothing that the person may not, and says so before it writes at all", async () => {
    if (process.getuid?.() !== 0) return;
    chmodSync(base, 0o777);
    chmodSync(target, 0o777);
    mkdirSync(join(target, "closed"), { mode: 0o755 });
    const path = join(base, "archive");
    writeFileSync(path, archiveOf(put("a", file("x")), put("closed/b", file("x"))));
    const said = execFileSync(
      "setpriv",
      [
        "--reuid",
        "12345",
        "--regid",
        "12345",
        "--clear-groups",
        "sh",
        "-c",
        `exec ${program.path} apply --target ${target} --journal ${journal} 3<${path} </dev/null`,
      ],
      { encoding: "utf8" },
    );
    expect(said).toBe("entry 0 held -\nentry 1 conflict unwritable\nresult conflict\n");
    expect(readdirSync(target)).toEqual(["closed"]);
  });
});
