import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { asPerson, PERSON_UID, wardenUnavailable } from "../vm/warden-process.ts";
import { EscapeBench } from "./escape-bench.ts";

const TITLE = `a source that is swapped for a link while it is mounted${wardenUnavailable === null ? "" : ` (skipped: ${wardenUnavailable})`}`;
const ATTEMPTS = 300;
const AT_ONCE = 4;

describe.skipIf(wardenUnavailable !== null)(TITLE, () => {
  let escapes: EscapeBench;

  beforeAll(async () => {
    escapes = await EscapeBench.start();
  });

  afterAll(async () => {
    await escapes?.stop();
  });

  /** What the mount shows, or why it was refused. */
  async function seen(source: string): Promise<string> {
    const { bench } = escapes;
    const plan = bench.plan({ mounts: [{ source, target: "data", mode: "ro" }] });
    try {
      await bench.vm.create(plan);
    } catch (error) {
      if (isCohortError(error, "MOUNT_REFUSED")) return "refused";
      throw error;
    }
    const { stdout } = await bench.sh(plan.name, "cat mnt/data/marker");
    await bench.destroy(plan.name);
    return stdout.trim();
  }

  test.each(["itself", "a directory above it"])(
    "is never mounted through the link: %s",
    async (which) => {
      const place = escapes.bench.warden.personDirectory(`race-${which.length}`);
      const target = escapes.bench.warden.personDirectory(`target-${which.length}`);
      mkdirSync(join(target, "inner"));
      for (const directory of [target, join(target, "inner")]) writeFileSync(join(directory, "marker"), "target", { mode: 0o644 });
      asPerson(() => {
        mkdirSync(join(place, "real/inner"), { recursive: true });
        for (const directory of ["real", "real/inner"]) writeFileSync(join(place, directory, "marker"), "real");
        symlinkSync(target, join(place, "link"));
      });
      const swap = spawn(escapes.tool("swap"), [join(place, "real"), join(place, "link"), "60"], {
        uid: PERSON_UID,
        gid: PERSON_UID,
        stdio: "ignore",
      });
      const ended = once(swap, "close");
      const outcomes = new Map<string, number>();
      try {
        const source = which === "itself" ? join(place, "real") : join(place, "real/inner");
        await Promise.all(
          Array.from({ length: AT_ONCE }, async () => {
            for (let attempt = 0; attempt < ATTEMPTS / AT_ONCE; attempt += 1) {
              const outcome = await seen(source);
              outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            }
          }),
        );
      } finally {
        swap.kill("SIGKILL");
        await ended;
      }
      expect([...outcomes.keys()].toSorted()).toEqual(["real", "refused"]);
    },
    90_000,
  );
});
