/** One command's connection to cohortd, and what people may call a run or a child. */
import { connect, type Cohort, type ConnectOptions } from "../../sdk/index.ts";
import type { ChildSummary, RunSummary } from "../../machines/messages/result.ts";
import { CohortError } from "../../runtime/kernel/error.ts";

const RUNS_SEARCHED_MAX = 1000;

/** Connects as the command line; closes whatever happens. */
export async function withCohort<T>(work: (cohort: Cohort) => Promise<T>, options: Pick<ConnectOptions, "start"> = {}): Promise<T> {
  const cohort = await connect({ ...options, origin: { surface: "cli" } });
  try {
    return await work(cohort);
  } finally {
    cohort.close();
  }
}

function few(names: readonly string[]): string {
  return names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`;
}

/** Pure: `@` and `last` are the newest; else an id or the beginning of exactly one. */
export function chooseRun(written: string, runs: readonly RunSummary[]): RunSummary {
  if (written === "@" || written === "last") {
    const newest = runs.reduce<RunSummary | undefined>(
      (best, run) => (best === undefined || run.createdAtMs > best.createdAtMs ? run : best),
      undefined,
    );
    if (newest === undefined) throw new CohortError("RUN_UNKNOWN", { on: "there was no run yet" });
    return newest;
  }
  const exact = runs.find((run) => run.run === written);
  if (exact !== undefined) return exact;
  const matching = written === "" ? [] : runs.filter((run) => run.run.startsWith(written));
  const [only] = matching;
  if (only === undefined) throw new CohortError("RUN_UNKNOWN", { on: written });
  if (matching.length > 1)
    throw new CohortError("RUN_UNKNOWN", { on: `${written} may be ${few(matching.map((run) => run.run))}`, hint: "write more of it" });
  return only;
}

export async function findRun(cohort: Cohort, written: string): Promise<RunSummary> {
  try {
    return chooseRun(written, await cohort.runs({ limit: RUNS_SEARCHED_MAX }));
  } catch (error) {
    // Older than the list is long.
    if (error instanceof CohortError && error.code === "RUN_UNKNOWN" && /^[a-z0-9]{4,32}$/.test(written))
      return cohort
        .attach(written)
        .summary()
        .catch(() => Promise.reject(error));
    throw error;
  }
}

/** Pure: the name of a child, or the beginning of exactly one. */
export function chooseChild(written: string, children: readonly ChildSummary[]): ChildSummary {
  const exact = children.find((child) => child.child === written);
  if (exact !== undefined) return exact;
  const matching = written === "" ? [] : children.filter((child) => child.child.startsWith(written));
  const [only] = matching;
  if (only === undefined) throw new CohortError("CHILD_UNKNOWN", { on: written });
  if (matching.length > 1)
    throw new CohortError("CHILD_UNKNOWN", {
      on: `${written} may be ${few(matching.map((child) => child.child))}`,
      hint: "write more of it",
    });
  return only;
}

/** Pure: `RUN` or `RUN/INDEX`. */
export function splitTarget(written: string): { readonly run: string; readonly index: number | null } {
  const slash = written.indexOf("/");
  if (slash === -1) return { run: written, index: null };
  const index = written.slice(slash + 1);
  if (!/^\d{1,9}$/.test(index))
    throw new CohortError("USAGE", {
      on: `${written}: after the slash stands the index of a task, from 0`,
      hint: "cohort results RUN lists them",
    });
  return { run: written.slice(0, slash), index: Number(index) };
}
