/** The warden's program: where it is, and how it is built. */
import { buildProgram, programPath, type CProgram } from "./c-program.ts";

const warden: CProgram = { binary: "warden/cohort-warden", directory: "vm/warden", shared: [] };

/** Where buildWarden puts it; it may not exist yet. */
export function wardenBinaryPath(): string {
  return programPath(warden);
}

/** Compiles the warden unless it is up to date, and answers its path. Throws WARDEN_BUILD: no compiler, no static libc, or broken sources. */
export function buildWarden(): Promise<string> {
  return buildProgram(warden);
}
