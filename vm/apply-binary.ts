/** cohort-apply: where it is, and how it is built. It shares the comparison of two trees with the warden. */
import { buildProgram, programPath, type CProgram } from "./c-program.ts";

export const applyProgram: CProgram = {
  binary: "apply/cohort-apply",
  directory: "vm/apply",
  shared: ["archive-writer.c", "archive-writer.h", "diff.c", "diff-entry.c", "diff.h", "protected-names.h", "sha256.c", "sha256.h"],
};

/** Where buildApply puts it; it may not exist yet. */
export function applyBinaryPath(): string {
  return programPath(applyProgram);
}

/** Throws WARDEN_BUILD. */
export function buildApply(): Promise<string> {
  return buildProgram(applyProgram);
}
