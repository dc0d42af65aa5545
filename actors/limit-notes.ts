/** Which limits an attempt met, and a sentence about each for a person. Pure. */
import type { ExitFacts } from "../machines/messages/facts.ts";
import type { LimitHit, TaskStatus } from "../machines/messages/result.ts";
import type { Task } from "../machines/messages/task.ts";

/** Less than this is what every process with a quota waits. */
export const THROTTLED_TOLD_MS = 100;

export function limitsMet(status: TaskStatus, exit: ExitFacts | null, throttledMs: number): readonly LimitHit[] {
  const met: LimitHit[] = [...(exit?.limitsHit ?? [])];
  if (status === "output-limit") met.push("output");
  if (status === "timed-out") met.push("wall");
  if (throttledMs >= THROTTLED_TOLD_MS) met.push("cpu");
  return met;
}

/** Of those that may have been why a task failed, or that something of its work is missing. */
export function limitNotes(status: TaskStatus, met: readonly LimitHit[], { limits, timeoutMs }: Task): readonly string[] {
  return met.flatMap((limit) => {
    switch (limit) {
      case "memory":
        return status === "succeeded" ? [] : [`a process was killed for want of memory: the limit is ${size(limits.memoryBytes)}`];
      case "processes":
        return [`it was refused a further process: the limit is ${limits.pidsMax}`];
      case "disk":
        return [`its disk is full: ${size(limits.diskBytes)}`];
      case "inodes":
        return [`its disk can hold no further file: the limit is ${limits.diskInodes}`];
      case "tmp":
        return [`/tmp is full: ${size(limits.tmpBytes)}`];
      case "staged":
        return [`a staged directory has no room left for what it changes: ${size(limits.stagedBytes)}`];
      case "output":
        return [`it wrote more than ${size(limits.outputBytes)}`];
      case "wall":
        return timeoutMs === undefined ? [] : [`it ran longer than ${timeoutMs / 1000} s`];
      case "cpu":
        return status === "timed-out" ? [`its processes waited for their quota of ${limits.cpuPermille / 1000} cores`] : [];
    }
  });
}

function size(bytes: number): string {
  for (const [unit, bytesOfOne] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const)
    if (bytes >= bytesOfOne) return `${Number((bytes / bytesOfOne).toFixed(1))} ${unit}`;
  return `${bytes} bytes`;
}
