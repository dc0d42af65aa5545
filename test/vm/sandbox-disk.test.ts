import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SandboxBench } from "./sandbox-bench.ts";

const MEBIBYTE = 1024 ** 2;
const canRun = process.getuid?.() === 0;

/** Images that are in use, as the kernel names them: an image without a name is `/… (deleted)`. */
function imagesInUse(directory: string): string[] {
  return readdirSync("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .map((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim();
      } catch {
        return ""; // it has none
      }
    })
    .filter((path) => path.startsWith(directory));
}

describe.skipIf(!canRun)("a session disk of kind ext4", () => {
  let bench: SandboxBench;
  beforeAll(async () => {
    bench = await SandboxBench.start();
  }, 120_000);
  afterAll(async () => {
    bench.disconnect();
    await bench.warden.stop();
  });

  const own = { diskKind: "ext4" as const, diskBytes: 16 * MEBIBYTE, diskInodes: 256 };

  test("is a fresh file system of its own, the child's, with the same home as any", async () => {
    const name = await bench.sandbox({ limits: own });
    const { stdout, exit } = await bench.sh(
      name,
      'stat -f -c %T .; ls -A; stat -c "%a %u" . out; id -u; echo kept > out/file; cat out/file; touch mnt/x 2>/dev/null || echo sealed; grep "nosuid,nodev.* ext4 " /proc/self/mountinfo | grep -c " $PWD "',
    );
    const uid = /^(?<uid>\d+)$/mu.exec(stdout)?.groups?.["uid"] ?? "";
    expect(exit).toMatchObject({ cause: "exited", code: 0 });
    expect(stdout).toBe(`ext2/ext3\nmnt\nout\n700 ${uid}\n700 ${uid}\n${uid}\nkept\nsealed\n1\n`);
  });

  test("is full at its size and at its files, and neither counts as memory", async () => {
    const name = await bench.sandbox({ limits: { ...own, memoryBytes: 8 * MEBIBYTE, tmpBytes: MEBIBYTE } });
    const { stdout, exit } = await bench.sh(
      name,
      "head -c 40000000 /dev/zero > big 2>/dev/null; stat -c %s big; rm big; i=0; while [ $i -lt 600 ] && touch f$i 2>/dev/null; do i=$((i+1)); done; ls | wc -l",
    );
    const [bytes, files] = stdout.trim().split("\n").map(Number);
    expect(bytes).toBeGreaterThan(12 * MEBIBYTE);
    expect(bytes).toBeLessThanOrEqual(16 * MEBIBYTE);
    expect(files).toBeGreaterThan(200);
    expect(files).toBeLessThanOrEqual(256);
    expect(exit.oomKilled).toBe(false);
  });

  test("holds what is mounted into the sandbox, and what is collected", async () => {
    const source = bench.warden.personDirectory("granted");
    writeFileSync(join(source, "note.txt"), "from outside");
    const name = await bench.sandbox({ limits: own, mounts: [{ source, target: "granted", mode: "ro" }] });
    expect((await bench.sh(name, "cat mnt/granted/note.txt; cp mnt/granted/note.txt out/")).stdout).toBe("from outside");
  });

  test("is gone with its sandbox, image and loop device too", async () => {
    const { directory } = bench.warden;
    const name = await bench.sandbox({ limits: own });
    expect(imagesInUse(directory)).not.toEqual([]);
    expect((await bench.sh(name, "exec 9> file; sleep 60 & echo on")).stdout).toBe("on\n");
    for (const other of await bench.vm.list()) await bench.vm.destroy(other.name);
    await expect.poll(() => imagesInUse(directory), { timeout: 5000 }).toEqual([]);
  });

  test("that is too small to be one is refused with the reason", async () => {
    await expect(bench.sandbox({ limits: { ...own, diskBytes: 65_536 } })).rejects.toThrow(/at least 1048576 bytes/u);
  });
});
