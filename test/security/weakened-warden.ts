/** Owns one build of the whole warden that can leave layers out (test/warden/absent-layers.c): the control that tests of escapes can fail. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { absence, absentLayersLinkFlags, absentLayersSource, type Layer } from "../warden/absent-layers.ts";
import type { WardenOptions } from "../vm/warden-process.ts";

const run = promisify(execFile);
const COMPILE_TIMEOUT_MS = 120_000;
const sources = join(import.meta.dirname, "../../vm/warden");

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

  /** Runs sandboxes without these layers, and without a truth check that would notice. */
  without(layers: readonly Layer[]): WardenOptions {
    return { binary: this.#binary, env: absence(layers, "unchecked") };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #binary(): string {
    return join(this.#directory, "cohort-warden");
  }
}
