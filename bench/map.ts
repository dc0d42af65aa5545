/** `map`: a thousand children of `true`, beside `xargs -P2 bwrap`, in interleaved rounds; and `loop`: the event loop of cohortd meanwhile. */
import { spawn } from "node:child_process";
import { openCohort } from "./cohort-under-test.ts";
import { bwrapCommand } from "./peers.ts";
import { atLeast, atMost, percentile, rounded, type Measurement, type Peer } from "./result.ts";
import type { Cohort } from "../sdk/index.ts";

const CHILDREN = 1000;
const ROUNDS = 3;
const WARM_UP_CHILDREN = 50;
/** A child waits for the disk and for its process to end more than it computes: with fewer, processors idle. */
const JOBS = 8;
const PEER_TIMEOUT_MS = 120_000;
const items = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

async function mapMs(cohort: Cohort, count: number): Promise<number> {
  const startedAt = performance.now();
  const run = await cohort.map(["/usr/bin/true"], items(count), { title: "bench", jobs: JOBS });
  const { counts } = await run.finished();
  if (counts.succeeded !== count) throw new Error(`not every child succeeded: ${JSON.stringify(counts)}`);
  return performance.now() - startedAt;
}

/** One program per item, as `map` has one child per item. */
async function xargsBwrapMs(count: number): Promise<number> {
  const { command, args } = bwrapCommand(["/usr/bin/true"]);
  const startedAt = performance.now();
  const child = spawn("xargs", ["-P2", "-n1", command, ...args], {
    stdio: ["pipe", "ignore", "pipe"],
    timeout: PEER_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => (errors = `${errors}${bytes.toString()}`.slice(-2000)));
  child.stdin.end(items(count).join("\n"));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`xargs ended with ${String(code)}: ${errors}`);
  return performance.now() - startedAt;
}

interface Samples {
  readonly cohortMs: number[];
  readonly xargsBwrapMs: number[];
  readonly eventLoopDelayP99Ms: number[];
}

async function measureRounds(withPeer: boolean): Promise<Samples> {
  const samples: Samples = { cohortMs: [], xargsBwrapMs: [], eventLoopDelayP99Ms: [] };
  const underTest = await openCohort();
  try {
    await mapMs(underTest.cohort, WARM_UP_CHILDREN);
    for (let round = 0; round < ROUNDS; round += 1) {
      // The report tells the delay since the one before.
      await underTest.cohort.doctor();
      samples.cohortMs.push(rounded(await mapMs(underTest.cohort, CHILDREN)));
      samples.eventLoopDelayP99Ms.push(rounded((await underTest.cohort.doctor()).eventLoopDelayP99Ms));
      if (withPeer) samples.xargsBwrapMs.push(rounded(await xargsBwrapMs(CHILDREN)));
    }
    return samples;
  } finally {
    await underTest.close();
  }
}

const LOOP_NOT_MEASURED = "the loop delay of one round contains the two reports that bracket it";

export async function measureMap(): Promise<Measurement> {
  const samples = await measureRounds(true);
  const perSecond = (name: "cohortMs" | "xargsBwrapMs"): number => rounded(CHILDREN / (percentile(samples[name], 50) / 1000));
  const [own, peer] = [perSecond("cohortMs"), perSecond("xargsBwrapMs")];
  const ratio = rounded(own / peer);
  const delay = percentile(samples.eventLoopDelayP99Ms, 50);
  const peers: readonly Peer[] = [
    { name: "xargs -P2 bwrap", version: "as installed", how: `xargs -P2 -n1 ${bwrapCommand(["/usr/bin/true"]).args.join(" ")}` },
  ];
  return {
    figures: {
      children: CHILDREN,
      rounds: ROUNDS,
      childrenPerSecond: own,
      xargsBwrapPerSecond: peer,
      ratioToXargsBwrap: ratio,
      eventLoopDelayP99Ms: delay,
    },
    samples: { ...samples },
    goals: [
      atLeast("childrenPerSecond", "1/s", 150, own),
      atLeast("ratioToXargsBwrap", "rate / rate", 1.5, ratio),
      atMost("eventLoopDelayP99Ms", "ms", 20, delay),
    ],
    peers,
    notMeasured: [
      "the start of cohortd and of the warden",
      "the peer has no limits, no seccomp filter, no Landlock, no uid per child, and writes nothing down",
      LOOP_NOT_MEASURED,
    ],
  };
}

export async function measureLoop(): Promise<Measurement> {
  const { cohortMs, eventLoopDelayP99Ms } = await measureRounds(false);
  const delay = percentile(eventLoopDelayP99Ms, 50);
  return {
    figures: { children: CHILDREN, rounds: ROUNDS, eventLoopDelayP99Ms: delay, eventLoopDelayWorstP99Ms: Math.max(...eventLoopDelayP99Ms) },
    samples: { cohortMs, eventLoopDelayP99Ms },
    goals: [atMost("eventLoopDelayP99Ms", "ms", 20, delay)],
    peers: [],
    notMeasured: ["the journal's worker thread", LOOP_NOT_MEASURED],
  };
}
