/** `orchestrate`: from the dispatch of a run to its durable result, where the work itself is nothing: runs a second, beside a queue of jobs. */
import type { Cohort } from "../sdk/index.ts";
import { openQueuePeer, type QueuePeer } from "./bullmq-peer.ts";
import { openCohort } from "./cohort-under-test.ts";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";

const ROUNDS = 5;
const WARM_UP = 20;
/** On their way at a time: one caller that waits for each, and many. */
const IN_FLIGHT: readonly number[] = [1, 16];
const COHORT_RUNS = 200;
const PEER_JOBS = 1000;

type Once = () => Promise<void>;

function cohortOnce(cohort: Cohort): Once {
  return async () => {
    const run = await cohort.run({ title: "bench", tasks: [{ title: "no-op", command: ["/usr/bin/true"] }] });
    for await (const { event } of run.events()) {
      if (event.type !== "task-finished") continue;
      if (event.result.status !== "succeeded") throw new Error(`a no-op ended as ${event.result.status}: ${event.result.detail}`);
      return;
    }
    throw new Error("a no-op has no result");
  };
}

interface Round {
  readonly latenciesMs: number[];
  readonly wallMs: number;
}

async function round(once: Once, count: number, inFlight: number): Promise<Round> {
  const latenciesMs: number[] = [];
  let left = count;
  const startedAt = performance.now();
  const caller = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const askedAt = performance.now();
      await once();
      latenciesMs.push(rounded(performance.now() - askedAt));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return { latenciesMs, wallMs: rounded(performance.now() - startedAt) };
}

interface Contender {
  readonly name: string;
  readonly once: Once;
  readonly count: number;
}

/** Smaller for a look while others work: COHORT_BENCH_ORCHESTRATE=rounds,runs. */
function size(): { readonly rounds: number; readonly runs: number; readonly jobs: number } {
  const [rounds, runs] = (process.env["COHORT_BENCH_ORCHESTRATE"] ?? "").split(",").map(Number);
  if (rounds === undefined || runs === undefined) return { rounds: ROUNDS, runs: COHORT_RUNS, jobs: PEER_JOBS };
  return { rounds, runs, jobs: runs };
}

export async function measureOrchestrate(): Promise<Measurement> {
  const { rounds, runs, jobs } = size();
  const underTest = await openCohort();
  const peers: QueuePeer[] = [];
  const samples: Record<string, number[]> = {};
  const of = (name: string): number[] => (samples[name] ??= []);
  try {
    for (const fsync of ["always", "everysec"] as const) peers.push(await openQueuePeer(fsync));
    const [always, everysec] = peers;
    if (always === undefined || everysec === undefined) throw new Error("a peer is missing");
    const contenders: readonly Contender[] = [
      { name: "cohort", once: cohortOnce(underTest.cohort), count: runs },
      { name: "bullmqAlways", once: () => always.once(), count: jobs },
      { name: "bullmqEverysec", once: () => everysec.once(), count: jobs },
    ];
    for (const { once } of contenders) await round(once, WARM_UP, 4);
    for (let at = 0; at < rounds; at += 1) {
      for (const inFlight of IN_FLIGHT) {
        for (const { name, once, count } of contenders) {
          if (name === "cohort") await underTest.cohort.doctor();
          const { latenciesMs, wallMs } = await round(once, count, inFlight);
          of(`${name}${inFlight}LatencyMs`).push(...latenciesMs);
          of(`${name}${inFlight}RoundMs`).push(wallMs);
          if (name === "cohort") of("eventLoopDelayP99Ms").push(rounded((await underTest.cohort.doctor()).eventLoopDelayP99Ms));
        }
      }
    }
    return summarize(samples, contenders, peers);
  } finally {
    for (const peer of peers) await peer.close();
    await underTest.close();
  }
}

function summarize(samples: Record<string, number[]>, contenders: readonly Contender[], peers: readonly QueuePeer[]): Measurement {
  const figures: Record<string, number> = {};
  for (const inFlight of IN_FLIGHT) {
    for (const { name, count } of contenders) {
      figures[`${name}${inFlight}PerRound`] = count;
      figures[`${name}${inFlight}PerSecond`] = rounded(count / (percentile(samples[`${name}${inFlight}RoundMs`] ?? [], 50) / 1000));
      figures[`${name}${inFlight}P50Ms`] = percentile(samples[`${name}${inFlight}LatencyMs`] ?? [], 50);
      figures[`${name}${inFlight}P99Ms`] = percentile(samples[`${name}${inFlight}LatencyMs`] ?? [], 99);
    }
    const perSecond = (name: string): number => figures[`${name}${inFlight}PerSecond`] ?? Number.NaN;
    figures[`ratioToBullmqAlways${inFlight}`] = rounded(perSecond("cohort") / perSecond("bullmqAlways"));
    figures[`ratioToBullmqEverysec${inFlight}`] = rounded(perSecond("cohort") / perSecond("bullmqEverysec"));
  }
  const delay = percentile(samples["eventLoopDelayP99Ms"] ?? [], 50);
  figures["eventLoopDelayP99Ms"] = delay;
  return {
    figures,
    samples,
    goals: [atMost("eventLoopDelayP99Ms", "ms, of cohortd, middle of the rounds", 20, delay)],
    peers: peers.map(({ peer }) => peer),
    notMeasured: [
      "a queue whose jobs are confined: none of the peers confines anything, so the ratios say what confinement, a process and its proof of end cost",
      "a closed loop: each caller asks again when it has its answer",
    ],
  };
}
