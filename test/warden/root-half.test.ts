import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync, chownSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { layerNames } from "../../vm/wire/layers.ts";
import { absence, machineSafety, type Layer } from "./absent-layers.ts";
import { RootHalf } from "./root-half.ts";

const root = new RootHalf();
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("skipped: the root half of the warden needs root");

const granted = "/sessions/shell-under-test/mnt/granted";
const succeeded = (output: string): { status: number; output: unknown } => ({ status: 0, output: expect.stringContaining(output) });

/** Where `cohort.<id>/s<uid>` was made, over all hierarchies. */
function sandboxesInCgroups(cgroup: string): string[] {
  const found: string[] = [];
  const record = "/run/cohort/instances";
  for (const file of existsSync(record) ? readdirSync(record).filter((entry) => entry.endsWith(".lock")) : [])
    for (const path of readFileSync(join(record, file), "utf8").split("\n").filter(Boolean))
      if (existsSync(join(path, "..", cgroup))) found.push(join(path, "..", cgroup));
  return found;
}

async function hold(socket: string): Promise<{ warden: ReturnType<RootHalf["start"]>; paths: string[] }> {
  const warden = root.start("hold", { socket });
  let seen = "";
  while (!/holding \S+\n/u.test(seen)) {
    const [chunk]: Buffer[] = await once(warden.stderr ?? warden, "data", { signal: AbortSignal.timeout(20_000) });
    seen += chunk?.toString() ?? "";
  }
  return { warden, paths: sandboxesInCgroups(/holding (?<cgroup>\S+)/u.exec(seen)?.groups?.["cgroup"] ?? "") };
}

describe.skipIf(!isRoot)("the root half of the warden", () => {
  beforeAll(() => root.build(), 120_000);
  afterEach(() => root.endAll());
  afterAll(() => root.remove());

  test("a sandbox is created, runs programs confined, collects, freezes, dies with a reason and is destroyed with proof", async () => {
    expect(await root.run("smoke")).toEqual(succeeded("21 checks, 0 failed"));
  });

  test("an init that is attacked, told nonsense or left alone ends alone, and bad names are refused", async () => {
    expect(await root.run("hostile")).toEqual(succeeded(" 0 failed"));
  });

  test("two hundred sandboxes at once leave nothing behind", async () => {
    expect(await root.run("bulk:200")).toEqual(succeeded("400 checks, 0 failed"));
    expect(sandboxesInCgroups("bulk-0")).toEqual([]);
  });

  test("a fork bomb, a memory bomb and a full disk stay within their sandbox", async () => {
    const script =
      "exec 2>&1; python3 -c 'x=[bytearray(10**7) for i in range(1000)]'; echo memory $?; " +
      "dd if=/dev/zero of=/sessions/shell-under-test/f bs=1M count=600 | cat; " +
      "bash -c 'b(){ b|b& }; b' >/dev/null 2>&1; sleep 1; echo survived";
    const { status, output } = await root.run(`shell:${script}`);
    expect({ status, output }).toEqual(succeeded("survived"));
    expect(output).toContain("memory 137");
    expect(output).toContain("No space left on device");
  });

  test("a granted directory belongs to the person outside and to the child inside, and set-user-id bits are refused", async () => {
    const source = join(root.directory, "granted");
    mkdirSync(source, { mode: 0o700 });
    chownSync(source, 1000, 1000);
    chmodSync(root.directory, 0o711);
    const script = `exec 2>&1; cd ${granted}; echo made > file; chmod 4755 file; ls -ld file; id -un`;
    const written = await root.run(`shell:${script}`, { mount: `+${source}` });
    expect(written.output).toMatch(/Operation not permitted\n-rw-r--r-- 1 child child .*\nchild\n/u);
    expect(readFileSync(join(source, "file"), "utf8")).toBe("made\n");
    const refused = await root.run(`shell:exec 2>&1; echo x > ${granted}/file2`, { mount: source });
    expect(refused.output).toContain("Read-only file system");
  });

  test("sources that are links, unreadable for the person, not files, or on a kernel file system are refused with the reason", async () => {
    const link = join(root.directory, "link");
    symlinkSync("/usr", link);
    const secret = join(root.directory, "secret");
    writeFileSync(secret, "secret", { mode: 0o600 });
    const cases: [string, string][] = [
      [link, "MOUNT_SOURCE_LINK"],
      [secret, `MOUNT_SOURCE_UNREADABLE user 1000 cannot read ${secret}: Permission denied`],
      ["+/usr", "MOUNT_SOURCE_UNREADABLE user 1000 cannot write to /usr"],
      ["/dev/null", "MOUNT_SOURCE_TYPE"],
      ["/", "MOUNT_SOURCE_SUBMOUNTS"],
      ["/sys/kernel", "MOUNT_"],
      ["relative", "MOUNT_SOURCE_UNREADABLE the source of a mount must be an absolute path"],
    ];
    for (const [mount, reason] of cases) {
      const { output } = await root.run("shell:true", { mount });
      expect(output).toContain(reason);
    }
  });

  test("a second warden on a live socket is refused; SIGTERM removes everything", async () => {
    const { warden, paths } = await hold("shared");
    expect(paths.length).toBeGreaterThan(0);
    const second = root.start("smoke", { socket: "shared" });
    let said = "";
    second.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await once(second, "close", { signal: AbortSignal.timeout(20_000) });
    expect({ said, status: second.exitCode }).toEqual({ said: expect.stringContaining("another warden serves"), status: 1 });
    warden.kill("SIGTERM");
    await once(warden, "close", { signal: AbortSignal.timeout(20_000) });
    expect({
      status: warden.exitCode,
      left: paths.filter((path) => existsSync(path)),
      socket: existsSync(join(root.directory, "shared")),
    }).toEqual({ status: 0, left: [], socket: false });
  });

  test("what a killed warden left is swept by the next start", async () => {
    const { warden, paths } = await hold("killed");
    warden.kill("SIGKILL");
    await once(warden, "exit", { signal: AbortSignal.timeout(20_000) });
    expect(await root.run("shell:true")).toEqual(succeeded("0 failed"));
    expect(paths.filter((path) => existsSync(path))).toEqual([]);
  });
});

/** As the warden writes it. */
const named = (layer: Layer): string => (layer === "init-not-dumpable" ? "not dumpable init" : layer.replaceAll("-", "."));

/** Halves of a layer that its absence as a whole would hide. */
const halves: [layer: string, file: string, original: string, replacement: string][] = [
  ["no capabilities", "privileges.c", "if (syscall(SYS_capset, &header, none) != 0)", "if (0)"],
  ["no capabilities", "privileges.c", "prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0", "capability > 4096"],
];

describe.skipIf(!isRoot)("the truth check", () => {
  const weakened = new RootHalf();
  beforeAll(() => weakened.build(), 120_000);
  afterAll(() => weakened.remove());

  test.each(layerNames)("a sandbox without its layer %s does not start", async (layer) => {
    const { output } = await weakened.run("shell:echo it ran", { env: absence([layer], "checked") });
    expect(output).not.toContain("it ran");
    // Sandboxes that share a mount namespace also hinder one another while they are prepared.
    const other = layer === "mount-ns" ? "|SETUP_FAILED" : "";
    expect(output).toMatch(new RegExp(`LAYER_MISSING layers missing:.* ${named(layer)}${other}`, "u"));
  });

  test("control: with every layer absent but those that keep the machine safe, and a blind check, it runs", async () => {
    const layers = layerNames.filter((layer) => !machineSafety.includes(layer));
    expect((await weakened.run("shell:echo it ran", { env: absence(layers, "unchecked") })).output).toContain("it ran");
  });

  test.each(halves)("a sandbox with half its layer %s does not start (%s: %s)", async (layer, file, original, replacement) => {
    const program = await weakened.mutate(file, original, replacement);
    const { output } = await weakened.run("shell:echo it ran", { program });
    expect(output).not.toContain("it ran");
    expect(output).toMatch(new RegExp(`LAYER_MISSING layers missing:.* ${layer}`, "u"));
  });
});
