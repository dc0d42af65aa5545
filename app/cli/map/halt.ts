/** Pure: `--halt` and `--jobs` as GNU parallel writes them. */
import { CohortError } from "../../../runtime/kernel/error.ts";

export interface Halt {
  readonly when: "never" | "soon" | "now";
  readonly failures: number;
}

/** never · soon|now,fail=N · soon|now,fail=N% of the tasks · 0 1 2 as older versions of parallel. */
export function parseHalt(text: string, total: number): Halt {
  if (text === "never" || text === "0") return { when: "never", failures: 1 };
  if (text === "1") return { when: "soon", failures: 1 };
  if (text === "2") return { when: "now", failures: 1 };
  const match = /^(soon|now)(?:,fail=(\d+)(%?))?$/.exec(text);
  if (match === null) {
    throw new CohortError("USAGE", {
      on: `--halt ${text}`,
      hint: "never, soon, now, soon,fail=N, now,fail=N or now,fail=N%; success= and done= are not supported",
    });
  }
  const [, when, count = "1", percent = ""] = match;
  const failures = percent === "%" ? Math.ceil((Number(count) / 100) * total) : Number(count);
  if (failures < 1)
    throw new CohortError("USAGE", { on: `--halt ${text}: at least 1 failure`, hint: "--halt never goes on whatever fails" });
  return { when: when === "soon" ? "soon" : "now", failures };
}

export const JOBS_MAX = 4000;

/** N · 0 as many as possible · N% of the cores · +N or -N: cores plus or minus N. Always between 1 and JOBS_MAX. */
export function parseJobs(text: string, cores: number): number {
  const match = /^([+-]?)(\d{1,6})(%?)$/.exec(text.trim());
  if (match === null || (match[1] !== "" && match[3] === "%")) {
    throw new CohortError("USAGE", { on: `--jobs ${text}`, hint: "a number, N% of the cores, +N, -N, or 0 for as many as possible" });
  }
  const [, sign = "", digits = "", percent = ""] = match;
  const count = Number(digits);
  if (sign === "" && percent === "" && count === 0) return JOBS_MAX;
  const jobs = percent === "%" ? Math.round((cores * count) / 100) : sign === "+" ? cores + count : sign === "-" ? cores - count : count;
  return Math.min(JOBS_MAX, Math.max(1, jobs));
}
