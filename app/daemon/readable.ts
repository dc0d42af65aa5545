/** Can this process's user read the program that cohortd is? Asked of the kernel, path by path, so that the answer names the one that is closed. */
import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { CohortError } from "../../runtime/kernel/error.ts";

/** Throws UNREADABLE_AS_USER. */
export function assertReadable(paths: readonly string[], user: string): void {
  for (const path of paths) {
    for (const step of [...ancestors(path), path]) {
      try {
        accessSync(step, step === path ? constants.R_OK : constants.X_OK);
      } catch (cause) {
        throw new CohortError("UNREADABLE_AS_USER", {
          on: `${step} is closed to the user ${user}`,
          hint: `put Cohort where every user can read it (for example below /opt), or open it: chmod o+${step === path ? "r" : "x"} '${step}'`,
          cause,
        });
      }
    }
  }
}

/** From the root downwards. */
function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...ancestors(parent), parent];
}
