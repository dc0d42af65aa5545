/** Processor time of processes, from /proc: whose work it is when a machine is busy. */
import { readdirSync, readFileSync } from "node:fs";

/** Of /proc/<pid>/stat; fixed on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Used {
  readonly cohortd: number;
  readonly warden: number;
  readonly bench: number;
  readonly children: number;
}

/** Seconds since each began. Not the machine's own count, which samples: work that begins with a tick of the clock escapes it. */
export function processorSeconds(daemonPid: number): Used {
  const used = { cohortd: 0, warden: 0, bench: 0, children: 0 };
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat === null) continue;
    if (Number(name) === daemonPid) used.cohortd += stat.seconds;
    else if (Number(name) === process.pid) used.bench += stat.seconds;
    else if (stat.command === "busy-child") used.children += stat.seconds;
    else if (stat.command.startsWith("cohort-")) used.warden += stat.seconds;
  }
  return used;
}

function statOf(pid: string): { readonly command: string; readonly seconds: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const end = text.lastIndexOf(")");
    const fields = text.slice(end + 2).split(" ");
    return { command: text.slice(text.indexOf("(") + 1, end), seconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND };
  } catch {
    return null; // It ended meanwhile.
  }
}
