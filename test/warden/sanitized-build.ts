/** Compiles C test programs of this folder with the warden's sources, under the address and undefined-behaviour sanitizers. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const COMPILE_TIMEOUT_MS = 120_000;
const sources = join(import.meta.dirname, "../../vm/warden");

/** The unprivileged half and the vocabulary that both halves share. */
export const codecSources = [
  "answers",
  "base",
  "codec",
  "denials",
  "errors",
  "exec-exit",
  "exec-requests",
  "exec-start",
  "exec-streams",
  "frame-read",
  "frame-write",
  "grant-requests",
  "init-link",
  "lease",
  "lease-actions",
  "link-output",
  "msgpack-read",
  "msgpack-write",
  "operations",
  "output",
  "packet-queue",
  "pty",
  "sandbox-life",
  "sandbox-table",
  "stream",
  "supervisor-link",
  "supervisor-requests",
] as const;

export const frameSources = ["msgpack-read", "msgpack-write", "frame-read", "frame-write", "errors"] as const;

export class SanitizedBuild {
  readonly directory = mkdtempSync(join(tmpdir(), "warden-native-"));

  /** Answers the path of the program. */
  async compile(
    name: string,
    programs: readonly string[],
    wardenFiles: readonly string[],
    defines: readonly string[] = [],
  ): Promise<string> {
    const output = join(this.directory, name);
    const flags = [
      "-std=c17",
      "-D_GNU_SOURCE",
      "-O1",
      "-g",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-fsanitize=address,undefined",
      "-fno-sanitize-recover=all",
    ];
    const files = [...programs.map((file) => join(import.meta.dirname, file)), ...wardenFiles.map((file) => join(sources, `${file}.c`))];
    await run(process.env["CC"] ?? "cc", [...flags, ...defines, "-o", output, ...files], { timeout: COMPILE_TIMEOUT_MS });
    return output;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
