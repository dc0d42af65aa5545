/** `noise`: what a hostile child does to the latency of its siblings: to a start, and to a line on its way from a living child to its client. */
import type { Run, TaskInput } from "../sdk/index.ts";
import { measureStart, openCohort, type CohortUnderTest } from "./cohort-under-test.ts";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";

const PHASES = 4;
const STARTS_PER_PHASE = 15;
const LINES_PER_PHASE = 60;
const LINE_EVERY_S = 0.02;
/** Until it is at full work. */
const SETTLE_MS = 500;
const GIBIBYTE = 1024 ** 3;

function sh(script: string): string[] {
  return ["/bin/sh", "-c", script];
}

/** Each goes on for as long as it is let, within the limits that every task has by default, but for what it is to be hostile with. */
const hostiles: Readonly<Record<string, Omit<TaskInput, "title">>> = {
  forkBomb: { command: ["/usr/bin/python3", "-c", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"] },
  memoryBomb: { command: sh("while :; do (x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done); done") },
  longLine: { command: sh("head -c 1073741824 /dev/zero | tr '\\0' x; sleep 60"), limits: { outputBytes: 2 * GIBIBYTE } },
  manyFiles: {
    command: ["/usr/bin/python3", "-c", "import itertools\nfor i in itertools.count(): open(str(i % 1000000), 'w').close()"],
    limits: { diskInodes: 1_100_000 },
  },
  output: { command: sh("exec yes"), limits: { outputBytes: 2 * GIBIBYTE } },
};

/** A living sibling that says what time it is, and how late its lines arrive. */
async function lineDelays(underTest: CohortUnderTest): Promise<number[]> {
  const script = `i=0; while [ $i -lt ${LINES_PER_PHASE} ]; do date +%s%N; sleep ${LINE_EVERY_S}; i=$((i+1)); done`;
  const run = await underTest.cohort.run({ title: "sibling", tasks: [{ title: "sibling", command: sh(script) }] });
  const delays: number[] = [];
  let held = "";
  for await (const item of run.logs(0, { follow: true })) {
    const nowMs = performance.timeOrigin + performance.now();
    const lines = (held + Buffer.from(item.bytes).toString()).split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) delays.push(rounded(nowMs - Number(line) / 1e6));
  }
  await run.finished();
  return delays;
}

async function measurePhase(underTest: CohortUnderTest, starts: number[], lines: number[]): Promise<void> {
  for (let count = 0; count < STARTS_PER_PHASE; count += 1)
    starts.push(rounded((await measureStart(underTest.cohort, ["/usr/bin/echo", "x"])).firstByteMs));
  lines.push(...(await lineDelays(underTest)));
}

async function besideHostile(underTest: CohortUnderTest, task: Omit<TaskInput, "title">, measure: () => Promise<void>): Promise<void> {
  const run: Run = await underTest.cohort.run({ title: "hostile", tasks: [{ title: "hostile", ...task }] });
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  await measure();
  const { finishedAtMs } = await run.summary();
  await run.cancel("kill", "measured");
  await run.finished();
  if (finishedAtMs !== null) throw new Error("the hostile child ended before its siblings were measured");
}

export async function measureNoise(): Promise<Measurement> {
  const underTest = await openCohort();
  const samples: Record<string, number[]> = {};
  const of = (name: string): number[] => (samples[name] ??= []);
  try {
    await measurePhase(underTest, [], []);
    for (const [name, task] of Object.entries(hostiles)) {
      // Quiet and noisy in turn, so that both meet the same moods of the machine.
      for (let phase = 0; phase < PHASES; phase += 1) {
        await measurePhase(underTest, of(`${name}QuietStartMs`), of(`${name}QuietLineMs`));
        await besideHostile(underTest, task, () => measurePhase(underTest, of(`${name}StartMs`), of(`${name}LineMs`)));
      }
    }
  } finally {
    await underTest.close();
  }
  return summarize(samples);
}

function summarize(samples: Record<string, number[]>): Measurement {
  const p95 = (name: string): number => percentile(samples[name] ?? [], 95);
  const figures: Record<string, number> = { startsPerSide: PHASES * STARTS_PER_PHASE, linesPerSide: PHASES * LINES_PER_PHASE };
  const ratios: number[] = [];
  for (const name of Object.keys(hostiles)) {
    for (const kind of ["Start", "Line"]) {
      figures[`${name}Quiet${kind}P95Ms`] = rounded(p95(`${name}Quiet${kind}Ms`));
      figures[`${name}${kind}P95Ms`] = rounded(p95(`${name}${kind}Ms`));
      const ratio = rounded(p95(`${name}${kind}Ms`) / p95(`${name}Quiet${kind}Ms`));
      figures[`${name}${kind}Ratio`] = ratio;
      ratios.push(ratio);
    }
  }
  const worst = Math.max(...ratios);
  return {
    figures: { ...figures, worstRatio: worst },
    samples,
    goals: [atMost("worstRatio", "p95 beside a hostile child / p95 without", 2, worst)],
    peers: [],
    notMeasured: [
      "several hostile children at once: they share what is left like any others, and only a quota (cpuPermille) bounds them",
      "throughput of siblings that need all processors: a fair share is what they get",
      "a hostile child's effect on the disk of the machine beyond its transcript",
    ],
  };
}
