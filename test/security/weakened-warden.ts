/** Owns one build of the whole warden that can leave layers out (test/warden/absent-layers.c): the control that tests of escapes can fail. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { WardenOptions } from "../vm/warden-process.ts";
import { absence, absentLayersLinkFlags, absentLayersSource, machineSafety, type Layer } from "../warden/absent-layers.ts";
import { layerNames } from "../../vm/wire/layers.ts";
import type { Group } from "./escapes/attempt.ts";

const run = promisify(execFile);
const COMPILE_TIMEOUT_MS = 120_000;
const sources = join(import.meta.dirname, "../../vm/warden");

/** The layers that a group of attempts meets. The mount namespace is in none: without it, sandboxes could not be built beside one another. */
const layersOf: Readonly<Record<Group, readonly Layer[]>> = {
  uid: ["uid", "init-not-dumpable"],
  mounts: ["root-read-only", "no-setuid-gain", "proc-masked"],
  namespaces: ["pid-ns", "ipc-ns", "uts-ns", "net-ns", "cgroup-ns", "no-inherited-descriptor"],
  seccomp: ["seccomp", "no-socket", "keyring"],
  landlock: ["landlock"],
  capabilities: ["no-capabilities", "no-new-privileges"],
  cgroup: ["cgroup-limits"],
  rlimits: ["rlimits"],
};

/** Without which a group is nothing: a user with every capability is root by another name, and root raises its own limits. */
const companionsOf: Partial<Readonly<Record<Group, readonly Group[]>>> = { uid: ["capabilities"], rlimits: ["capabilities", "uid"] };

export class WeakenedWarden {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async build(): Promise<WeakenedWarden> {
    const built = new WeakenedWarden(mkdtempSync(join(tmpdir(), "weakened-warden-")));
    const files = readdirSync(sources).filter((file) => file.endsWith(".c"));
    // Speed of the compiler counts here, and that the flags are the product's where they change code.
    const words = ["@cflags.txt", "-O1", "-w", "-I.", ...files, absentLayersSource, ...absentLayersLinkFlags(), "-o", built.#binary];
    await run(process.env["CC"] ?? "cc", words, { cwd: sources, timeout: COMPILE_TIMEOUT_MS });
    return built;
  }

  /** Runs sandboxes without the layers of this group, and without a truth check that would notice. */
  without(group: Group): WardenOptions {
    return { binary: this.#binary, env: absence(layersOf[group], "unchecked") };
  }

  /** Runs sandboxes with no other layers than those of this group, and those that keep the machine safe from what runs in them. */
  withOnly(group: Group): WardenOptions {
    const kept = [group, ...(companionsOf[group] ?? [])].flatMap((one) => layersOf[one]);
    const absent = layerNames.filter((layer) => !kept.includes(layer) && !machineSafety.includes(layer));
    return { binary: this.#binary, env: absence(absent, "unchecked") };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #binary(): string {
    return join(this.#directory, "cohort-warden");
  }
}
