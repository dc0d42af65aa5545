/** Stands in for cohort-apply, a program of its own: what it copies has no content here, and nothing is ever applied. */
import { CohortError } from "../../../runtime/kernel/error.ts";
import { computer } from "../machine/computer.ts";

const COPY_MS = 2;

function notSimulated(): Promise<never> {
  return Promise.reject(new CohortError("APPLY_FAILED", { on: "not simulated" }));
}

export function installedApply(): Promise<string> {
  return computer().answered(COPY_MS, () => "/simulated/cohort-apply");
}

export function runCopy(_: string, { copy }: { readonly copy: string }): Promise<{ readonly result: "copied" }> {
  return computer().answered(COPY_MS, () => {
    computer().files.makeDirectory(copy, false);
    return { result: "copied" };
  });
}

export const runCompare = notSimulated;
export const recoverApply = notSimulated;
export const runApply = notSimulated;
