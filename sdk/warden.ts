/** `cohort vm up` and `down`: the warden that an ordinary user's cohortd needs, started once by root. */
import { CohortError } from "../runtime/kernel/error.ts";
import { isRoot } from "./account.ts";
import { runProgram } from "./program.ts";

export interface WardenOptions {
  /** Name of the user that it serves. Default: SUDO_UID, else the system user `cohort`. */
  readonly user?: string;
  /** State directory, in place of COHORT_HOME: it decides which warden is meant. */
  readonly home?: string;
}

/**
 * Starts a warden that stays until `wardenDown` or the machine's end; no harm if it runs already. Root only.
 * Rejects with NOT_AUTHORIZED, ROOT_WITHOUT_USER, WARDEN_BUILD, WARDEN_REFUSED, CGROUP_UNAVAILABLE.
 */
export function wardenUp(options: WardenOptions = {}): Promise<void> {
  return step("vm-up", options);
}

/** Ends the warden, and every child with it. No harm if none runs. Root only. Rejects with NOT_AUTHORIZED, WARDEN_REFUSED. */
export function wardenDown(options: WardenOptions = {}): Promise<void> {
  return step("vm-down", options);
}

async function step(name: "vm-up" | "vm-down", options: WardenOptions): Promise<void> {
  const command = `sudo cohort ${name.replace("-", " ")}`;
  if (!isRoot()) throw new CohortError("NOT_AUTHORIZED", { on: "only root can do this", hint: `run: ${command}` });
  const environment = options.home === undefined ? process.env : { ...process.env, COHORT_HOME: options.home };
  await runProgram(name, options.user === undefined ? [] : [options.user], environment);
}
