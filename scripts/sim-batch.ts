/** Runs a batch of seeds in processes of its own, and hands over each verdict as it comes. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Batch, Verdict } from "../test/simulation/verdict.ts";

/** The longest seed takes seconds (with all deaths, minutes): this is a loop without an end. */
const SILENCE_MS_MAX = 120_000;
const SILENCE_EXHAUSTIVE_MS_MAX = 900_000;

export interface BatchOptions extends Pick<Batch, "from" | "count"> {
  /** Of the tree whose code is simulated. */
  readonly root: string;
  readonly jobs: number;
  readonly twice?: boolean;
  readonly exhaustive?: boolean;
  readonly print?: (line: string) => void;
  /** False: enough. */
  readonly verdict: (verdict: Verdict) => boolean;
}

/** Resolves when every seed has its verdict, or one said that it is enough. Rejects when a process fails. */
export async function runBatch(options: BatchOptions): Promise<void> {
  const { from, count, jobs, twice = false, exhaustive = false, print } = options;
  const workers = Array.from({ length: Math.min(jobs, count) }, (_, job) => {
    const share = Math.ceil((count - job) / jobs);
    return runWorker(options, { from: from + job, count: share, step: jobs, twice, exhaustive, print: print !== undefined });
  });
  const stop = (): void => workers.forEach((worker) => worker.stop());
  try {
    await Promise.race([Promise.all(workers.map(({ ended }) => ended)), Promise.race(workers.map(({ enough }) => enough))]);
  } finally {
    stop();
    await Promise.allSettled(workers.map(({ ended }) => ended));
  }
}

interface Worker {
  readonly ended: Promise<void>;
  readonly enough: Promise<void>;
  stop(): void;
}

function runWorker({ root, verdict, print }: BatchOptions, batch: Batch): Worker {
  const directory = join(root, "test/simulation");
  const args = ["--import", join(directory, "hooks.ts"), join(directory, "main.ts"), JSON.stringify(batch)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const ended = Promise.withResolvers<void>();
  const enough = Promise.withResolvers<void>();
  let errors = "";
  let last = batch.from - batch.step;
  let stopped = false;
  const silenceMs = batch.exhaustive ? SILENCE_EXHAUSTIVE_MS_MAX : SILENCE_MS_MAX;
  const stop = (): void => {
    stopped = true;
    child.kill("SIGKILL");
  };
  const silence = setTimeout(() => {
    errors += `seed ${last + batch.step} did not end within ${silenceMs} ms`;
    child.kill("SIGKILL");
  }, silenceMs);
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-8000);
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return print?.(line);
    silence.refresh();
    const found = JSON.parse(line) as Verdict;
    last = found.seed;
    if (!stopped && !verdict(found)) enough.resolve();
  });
  child.on("close", (code) => {
    clearTimeout(silence);
    if (stopped || code === 0) ended.resolve();
    else ended.reject(new Error(`the simulation of seed ${last + batch.step} or the one before failed: ${errors}`));
  });
  return { ended: ended.promise, enough: enough.promise, stop };
}
