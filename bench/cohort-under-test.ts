/** A Cohort of the bench's own: the built daemon, a state directory and a warden that nobody else uses, gone afterwards. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { accountOf } from "../sdk/account.ts";
import { connect, wardenDown, type Cohort, type RunSpecInput } from "../sdk/index.ts";
import { statePaths } from "../sdk/paths.ts";

export interface CohortUnderTest {
  readonly cohort: Cohort;
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

export async function openCohort(): Promise<CohortUnderTest> {
  const home = join(tmpdir(), `cohort-bench-${randomBytes(6).toString("hex")}`);
  startBuiltDaemon(home);
  const cohort = await connect({ home, start: false });
  return {
    cohort,
    close: async () => {
      await cohort.stop();
      await wardenDown({ home });
      const account = accountOf(process.env);
      const directories = account === null ? [home] : [home, dirname(statePaths(account, { COHORT_HOME: home }, true).wardenSocket)];
      for (const directory of directories) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Through the built command line, so that what is measured is what people run: bundles, not sources. */
function startBuiltDaemon(home: string): void {
  const cli = join(import.meta.dirname, "../dist/cohort.js");
  if (!existsSync(cli)) throw new Error("dist/cohort.js is missing: npm run build");
  const started = spawnSync(process.execPath, [cli, "ps"], {
    env: { ...process.env, COHORT_HOME: home },
    encoding: "utf8",
    timeout: START_TIMEOUT_MS,
  });
  if (started.status !== 0) throw new Error(`cohort ps ended with ${String(started.status)}: ${started.stderr}${started.stdout}`);
}

export interface Start {
  /** From the call until the run is written down and answered. */
  readonly answeredMs: number;
  /** From the call to the first byte of the child's output. */
  readonly firstByteMs: number;
}

/** Waits for the end of the run, so that rounds do not overlap. */
export async function measureStart(cohort: Cohort, command: readonly string[]): Promise<Start> {
  const spec: RunSpecInput = { title: "bench", tasks: [{ title: "bench", command: [...command] }] };
  const startedAt = performance.now();
  const run = await cohort.run(spec);
  const answeredMs = performance.now() - startedAt;
  let firstAt = Number.NaN;
  for await (const item of run.logs(0, { follow: true })) {
    if (Number.isNaN(firstAt) && item.bytes.length > 0) firstAt = performance.now();
  }
  const { counts } = await run.finished();
  if (counts.succeeded !== 1 || Number.isNaN(firstAt)) throw new Error(`the child did not succeed: ${JSON.stringify(counts)}`);
  return { answeredMs, firstByteMs: firstAt - startedAt };
}
