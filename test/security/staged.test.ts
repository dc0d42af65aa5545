/** Staged directories in real sandboxes: what a hostile child leaves in one, and what of it reaches the person's directory. */
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AuxiliaryExecs } from "../../actors/auxiliary-execs.ts";
import { Content } from "../../actors/content.ts";
import type { DiffEntry } from "../../machines/messages/grant.ts";
import { StagedChanges } from "../../actors/staged-changes.ts";
import type { StagedGrant } from "../../actors/staged-diffs.ts";
import { SandboxBench } from "../vm/sandbox-bench.ts";
import { file, readTree, symlink, type Tree } from "../vm/staged-tree.ts";
import { asPerson, wardenUnavailable } from "../vm/warden-process.ts";

const TITLE = `a staged directory${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const STAGED_BYTES = 128 * 1024 * 1024;
/** Clocks of file systems tick up to every 10 ms: what was made before the child started must be told from what it took up. */
const TICK_MS = 30;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let bench: SandboxBench;
  let changes: StagedChanges;
  let state: string;
  let source: string;
  let staged: StagedGrant;
  let count = 0;
  const signal = AbortSignal.timeout(600_000);

  beforeAll(async () => {
    bench = await SandboxBench.start();
  });

  beforeEach(() => {
    count += 1;
    state = join(bench.warden.directory, `state-${count}`);
    mkdirSync(join(state, "content/run1"), { recursive: true });
    source = bench.warden.personDirectory(`source-${count}`);
    const execs = new AuxiliaryExecs();
    const { onOutput, onExit } = bench.events;
    bench.events.onOutput = (chunk) => (chunk.execId >= 1000 ? execs.output(chunk) : onOutput(chunk));
    bench.events.onExit = (exit) => {
      onExit(exit);
      if (exit.execId >= 1000) execs.exit(exit);
    };
    changes = new StagedChanges({
      content: new Content(join(state, "content")),
      link: { call: (_signal, use) => use(bench.vm) },
      execs,
      stateDirectory: state,
    });
    staged = { grant: `g${count}`, run: "run1", child: "", path: source, as: "data", stagedBytes: STAGED_BYTES };
  });

  afterEach(async () => {
    await changes.close();
    for (const { name } of await bench.vm.list()) await bench.destroy(name);
  });

  afterAll(async () => {
    await bench?.stop();
  });

  function fill(tree: Readonly<Record<string, string>>): void {
    asPerson(() => {
      for (const [path, content] of Object.entries(tree)) {
        mkdirSync(join(source, path, ".."), { recursive: true });
        writeFileSync(join(source, path), content);
      }
    });
  }

  async function child(script: string): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    const name = await bench.sandbox({
      mounts: [{ source, target: "data", mode: "staged", stagedBytes: STAGED_BYTES }],
      limits: { openFilesMax: 1024 },
    });
    staged = { ...staged, child: name };
    const { exit, stderr } = await bench.sh(name, `cd mnt/data && ${script}`);
    expect([exit.code, stderr]).toEqual([0, ""]);
    return name;
  }

  async function entries(): Promise<readonly DiffEntry[]> {
    await changes.collect(staged, signal);
    return (await changes.diff(staged, false)).entries;
  }

  const brief = (list: readonly DiffEntry[]): readonly string[] => list.map(({ change, type, path }) => `${change} ${type} ${path}`);

  test("shows the child its own changes and the source none of them; applied, the source has them", async () => {
    fill({ a: "a\n", "d/b": "b\n", "d/gone": "gone", "old/x": "x", "old/y/z": "z", "repl/q": "q", kept: "kept" });
    const before = readTree(source);
    const name = await child(
      "echo more >> a && rm d/gone && mv old new && rm -r repl && echo file > repl && mkdir -p n/m && echo made > n/m/f && ln -s ../a n/l && chmod 755 kept && cat a new/y/z",
    );
    expect(readTree(source)).toEqual(before);
    expect(brief(await entries())).toEqual([
      "deleted file old/x",
      "deleted file old/y/z",
      "deleted directory old/y",
      "deleted directory old",
      "modified file a",
      "deleted file d/gone",
      "modified file kept",
      "added directory n",
      "added symlink n/l",
      "added directory n/m",
      "added file n/m/f",
      "added directory new",
      "added file new/x",
      "added directory new/y",
      "added file new/y/z",
      "deleted file repl/q",
      "modified file repl",
    ]);
    const { patch } = await changes.diff(staged, true);
    expect(patch).toContain("--- a/a\n+++ b/a\n@@ -1,1 +1,2 @@\n a\n+more\n");
    // Its sandbox is gone: what it left is not.
    await bench.destroy(name);
    expect(await changes.state(staged)).toBe("held");
    expect(await changes.apply(staged, { accept: [], check: false })).toEqual({
      grant: staged.grant,
      applied: 17,
      held: 0,
      rest: [],
      planned: [],
    });
    expect(await changes.state(staged)).toBe("applied");
    const after: Tree = readTree(source);
    expect(Object.keys(after).toSorted()).toEqual([
      "a",
      "d",
      "d/b",
      "kept",
      "n",
      "n/l",
      "n/m",
      "n/m/f",
      "new",
      "new/x",
      "new/y",
      "new/y/z",
      "repl",
    ]);
    expect([after["a"], after["n/l"], after["kept"], after["repl"]]).toEqual([
      file("a\nmore\n"),
      symlink("../a"),
      file("kept", 0o755),
      file("file\n"),
    ]);
    expect((await changes.diff(staged, true)).entries).toEqual([]);
  });

  test("with FIFOs, links that lead out, protected names and hostile names: only what may be applied is, and the rest is told", async () => {
    fill({ ".git/config": "config", plain: "plain" });
    const odd = ["$(printf 'a\\nb')", "$(printf '\\033[31m')", "$(printf '\\377')", "x".repeat(255)];
    await child(
      `mkfifo fifo && ln -s /etc/passwd absolute && ln -s ../../etc escaping && ln -s a/../../x winding && echo evil >> .git/config && mkdir -p .git/hooks && echo '#!/bin/sh' > .git/hooks/post-commit && chmod 755 .git/hooks/post-commit && echo x > .envrc && mkdir sub && echo x > sub/.Bashrc && ${odd.map((name) => `echo odd > "${name}"`).join(" && ")} && echo fine > fine`,
    );
    await changes.collect(staged, signal);
    const { rest, held } = await changes.apply(staged, { accept: [], check: false });
    expect(held).toBe(0);
    expect(Object.fromEntries(rest.map(({ path, outcome }) => [path, outcome]))).toEqual({
      ".envrc": "protected",
      ".git/config": "protected",
      ".git/hooks": "protected",
      ".git/hooks/post-commit": "protected",
      "sub/.Bashrc": "protected",
      absolute: "refused",
      escaping: "refused",
      fifo: "refused",
      winding: "refused",
    });
    expect(readFileSync(join(source, ".git/config"), "utf8")).toBe("config");
    expect(
      readdirSync(Buffer.from(source), { encoding: "buffer" })
        .map((name) => name.toString("latin1"))
        .toSorted(),
    ).toEqual([".git", "plain", "fine", "sub", "a\nb", "\u001b[31m", "\u00ff", "x".repeat(255)].toSorted());
    // Named, they are applied.
    expect((await changes.apply(staged, { accept: [".envrc"], check: false })).applied).toBe(1);
    expect(existsSync(join(source, ".envrc"))).toBe(true);
  });

  test("cannot hold a device, nor a set-user-id file, and a set-user-id file of the person's never keeps its bit", async () => {
    fill({ "tools/suid": "#!/bin/sh\n" });
    chmodSync(join(source, "tools/suid"), 0o4755);
    await child("! mknod dev c 1 3 2>/dev/null && echo x > s && ! chmod u+s s 2>/dev/null && mv tools moved");
    const list = await entries();
    expect(list.find(({ path }) => path === "moved/suid")?.detail).toBe("a set-user-id or set-group-id file");
    await changes.apply(staged, { accept: [], check: false });
    expect(existsSync(join(source, "moved/suid"))).toBe(false);
  });

  test("is refused whole when the person changed, deleted or made what it changes", async () => {
    fill({ edited: "1", deleted: "2", removed: "3", other: "4" });
    const name = await child("echo child > edited && echo child > deleted && rm removed && echo child > made && echo child > other");
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    asPerson(() => {
      writeFileSync(join(source, "edited"), "person");
      // Its content is changed, its time set back.
      writeFileSync(join(source, "removed"), "P");
      utimesSync(join(source, "removed"), 1000, 1000);
    });
    const list = await entries();
    expect(Object.fromEntries(list.map(({ path, conflict }) => [path, conflict]))).toEqual({
      deleted: false,
      edited: true,
      made: false,
      other: false,
      removed: true,
    });
    await bench.destroy(name);
    asPerson(() => {
      rmSync(join(source, "deleted"));
      writeFileSync(join(source, "made"), "person");
    });
    const { applied, held, rest } = await changes.apply(staged, { accept: [], check: false });
    expect([applied, held]).toEqual([0, 1]);
    expect(rest.map(({ path, outcome }) => `${outcome} ${path}`).toSorted()).toEqual([
      "conflict deleted",
      "conflict edited",
      "conflict made",
      "conflict removed",
    ]);
    expect(readFileSync(join(source, "other"), "utf8")).toBe("4");
    // The person chooses what does not conflict.
    expect((await changes.apply(staged, { accept: [], only: ["other"], check: false })).applied).toBe(1);
    expect(readFileSync(join(source, "other"), "utf8")).toBe("child\n");
  });

  test("does not take for deleted what the person made while the child ran", async () => {
    fill({ "d/a": "a", "e/b": "b" });
    const name = await child("ls d e > /dev/null; test ! -e d/new; test ! -e e/new; echo x >> d/a");
    asPerson(() => {
      writeFileSync(join(source, "d/new"), "new");
      writeFileSync(join(source, "e/new"), "new");
    });
    await bench.sh(name, "rm -r mnt/data/e; mkdir mnt/data/e; ls mnt/data/d > /dev/null");
    asPerson(() => writeFileSync(join(source, "e/later"), "later"));
    const deleted = (await entries()).filter(({ change }) => change === "deleted").map(({ path }) => path);
    expect(deleted).not.toContain("d/new");
    expect(deleted).not.toContain("e/later");
  });

  test("can be looked at and applied while the child works, again and again: its own earlier changes are no conflict", async () => {
    fill({ a: "1\n" });
    const name = await child("echo 2 >> a && echo 0 > counter");
    const running = bench.sh(name, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i >> mnt/data/counter; [ -e stop ] && exit 0; done");
    await changes.collect(staged, signal);
    expect(await changes.apply(staged, { accept: [], check: false })).toMatchObject({ applied: 2, rest: [] });
    await bench.sh(name, "echo 3 >> mnt/data/a");
    await changes.collect(staged, signal);
    // Not in what was shown, so not applied now.
    await bench.sh(name, "echo 4 >> mnt/data/a");
    expect(await changes.apply(staged, { accept: [], check: false })).toMatchObject({ held: 0, rest: [] });
    expect(readFileSync(join(source, "a"), "utf8")).toBe("1\n2\n3\n");
    await changes.collect(staged, signal);
    expect(await changes.apply(staged, { accept: [], only: ["a"], check: false })).toMatchObject({ applied: 1, rest: [] });
    expect(readFileSync(join(source, "a"), "utf8")).toBe("1\n2\n3\n4\n");
    // It was stopped for each diff, and went on.
    const seen = readFileSync(join(source, "counter"), "utf8");
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    await changes.collect(staged, signal);
    await changes.apply(staged, { accept: [], check: false });
    expect(readFileSync(join(source, "counter"), "utf8").length).toBeGreaterThan(seen.length);
    await bench.sh(name, "touch stop");
    expect((await running).exit.code).toBe(0);
  });

  test("of a frozen child is collected as it stands: nothing of it runs meanwhile, it loses the grant with proof, and goes on when it is thawed", async () => {
    fill({ a: "1\n" });
    const name = await child("true");
    const counting = await bench.start(name, [
      "/bin/sh",
      "-c",
      "for n in 1 2 3; do (while :; do echo $n >> mnt/data/count; : > fork & wait; done) & done; until [ -s mnt/data/count ]; do sleep 0.01; done; until [ -e stop ]; do echo tick; sleep 0.01; done; kill 0",
    ]);
    const ticks = (): number => bench.events.bytesOf(name, counting, "stdout").length;
    await bench.events.until("a tick", () => ticks() > 0);
    await bench.vm.freeze(name);
    const sizes: (number | null)[] = [];
    for (let at = 0; at < 2; at += 1) {
      const startedAtMs = performance.now();
      sizes.push((await entries()).find(({ path }) => path === "count")?.bytes ?? null);
      // A diff that took the frozen for running would have waited half a second.
      expect(performance.now() - startedAtMs).toBeLessThan(450);
      await new Promise((resolve) => setTimeout(resolve, TICK_MS * 3));
    }
    expect(sizes[0]).toBeGreaterThan(0);
    expect(sizes[1]).toBe(sizes[0]);
    await bench.vm.revoke(name, 1);
    const before = ticks();
    await new Promise((resolve) => setTimeout(resolve, TICK_MS * 3));
    expect(ticks()).toBe(before);
    expect(await changes.apply(staged, { accept: [], check: false })).toMatchObject({ applied: 1, rest: [] });
    expect(readFileSync(join(source, "count"), "utf8").length).toBe(sizes[0]);
    await bench.vm.thaw(name);
    await bench.events.until("another tick", () => ticks() > before);
  });

  test("of hard links has each name by itself", async () => {
    fill({ a: "shared" });
    asPerson(() => linkSync(join(source, "a"), join(source, "b")));
    await child("echo child > a && ln a c");
    expect(brief(await entries())).toEqual(["modified file a", "added file c"]);
    await changes.apply(staged, { accept: [], check: false });
    expect(["a", "b", "c"].map((path) => readFileSync(join(source, path), "utf8"))).toEqual(["child\n", "shared", "child\n"]);
  });

  test("5,000 levels deep is incomplete: it is shown, and not applied", async () => {
    await child("perl -e 'for (1 .. 5000) { (mkdir(q(d)) and chdir(q(d))) or die $! }'");
    await changes.collect(staged, signal);
    const { isIncomplete, entries: shown } = await changes.diff(staged, false);
    expect(isIncomplete).toBe(true);
    expect(shown.at(-1)?.detail).toBe("too deep");
    await expect(changes.apply(staged, { accept: [], check: false })).rejects.toMatchObject({ code: "STAGED_INCOMPLETE" });
    expect(readdirSync(source)).toEqual([]);
  });

  test("with more files than a diff may hold is incomplete", async () => {
    fill({ a: "a" });
    const name = await child("true");
    const many = "perl -e 'for (1 .. 104000) { open(F, q(>), $_) or die; close F }'";
    await bench.sh(name, `cd mnt/data && ${many}`, { deadlineMs: 100_000 });
    await changes.collect(staged, signal);
    const { isIncomplete, entriesMore } = await changes.diff(staged, false);
    expect([isIncomplete, entriesMore > 10_000]).toEqual([true, true]);
    await expect(changes.apply(staged, { accept: [], check: false })).rejects.toMatchObject({ code: "STAGED_INCOMPLETE" });
  });

  test("that is full is ENOSPC for the child, and what fits is applied", async () => {
    const name = await child("true");
    const { stdout } = await bench.sh(
      name,
      "cd mnt/data; head -c 200000000 /dev/zero > big 2>/dev/null; stat -c %s big; rm big; echo small > small",
    );
    expect(Number(stdout)).toBeLessThanOrEqual(STAGED_BYTES);
    await changes.collect(staged, signal);
    expect((await changes.apply(staged, { accept: [], check: false })).applied).toBe(1);
  });

  test("that is discarded is gone, and stays so", async () => {
    fill({ a: "a" });
    await child("echo x > a");
    await changes.collect(staged, signal);
    await changes.discard(staged);
    expect(await changes.state(staged)).toBe("discarded");
    await expect(changes.diff(staged, false)).rejects.toMatchObject({ code: "CONTENT_GONE" });
    await expect(changes.apply(staged, { accept: [], check: false })).rejects.toMatchObject({ code: "CONTENT_GONE" });
    await changes.collect(staged, signal);
    expect(await changes.state(staged)).toBe("discarded");
    expect(readFileSync(join(source, "a"), "utf8")).toBe("a");
  });

  test("whose child forges what the diff says gets an archive that is refused, or entries like any other", async () => {
    fill({ a: "a" });
    // Its views are sealed, so that it cannot put others in their place.
    const name = await child("true");
    const attempts = [
      "mkdir mnt/.staged/x",
      "mv mnt/.staged mnt/x",
      "touch mnt/.staged/data/upper/x",
      "touch mnt/.staged/data/lower/x",
      "mv mnt/data mnt/x",
      "rmdir mnt/.staged/data/upper",
    ];
    const { stdout } = await bench.sh(name, attempts.map((attempt) => `${attempt} 2>/dev/null; echo $?`).join("; "));
    expect(stdout).toBe("1\n".repeat(attempts.length));
    expect(await entries()).toEqual([]);
  });
});
