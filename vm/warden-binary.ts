/** The warden's program: where it is, and how it is built. It carries cohort-child, which each sandbox finds at /run/cohort/bin. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { buildProgram, programPath, type CProgram } from "./c-program.ts";

const warden: CProgram = { binary: "warden/cohort-warden", directory: "vm/warden", shared: [] };
const childTool: CProgram = { binary: "warden/cohort-child", directory: "vm/child-tool", shared: [], flags: ["-s"] };
/** As the compiler sees it, which runs in vm/warden: an absolute path would make another warden of each place where the sources appear. */
const CHILD_FILE = "../../build/warden/cohort-child";

/** Where buildWarden puts it; it may not exist yet. */
export function wardenBinaryPath(): string {
  return programPath(warden);
}

/** Compiles the warden unless it is up to date, and answers its path. Throws WARDEN_BUILD: no compiler, no static libc, or broken sources. */
export async function buildWarden(): Promise<string> {
  const child = createHash("sha256")
    .update(readFileSync(await buildProgram(childTool)))
    .digest("hex");
  // The hash makes it another program when cohort-child is another.
  return buildProgram({ ...warden, flags: [`-DCOHORT_CHILD_FILE="${CHILD_FILE}"`, `-DCOHORT_CHILD_SHA256="${child}"`] });
}
