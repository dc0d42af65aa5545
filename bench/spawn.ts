/** `spawn`: from the API call to the first byte of a child's output, beside four peers, in interleaved rounds. */
import { measureStart, openCohort } from "./cohort-under-test.ts";
import { openWarden } from "./warden-under-test.ts";
import { bwrapPeer, crunPeer, libraryCliPeer, libraryPeers, PRINTED, unsharePeer, type RunningPeer } from "./peers.ts";
import { atMost, percentile, rounded, type Measurement, type Peer } from "./result.ts";

const ROUNDS = 60;
const WARM_UP_ROUNDS = 5;
/** The command line of the library takes half a second a time: it is measured in every tenth round. */
const SLOW_EVERY = 10;

interface Contender {
  readonly name: string;
  readonly every: number;
  measure(): Promise<number>;
}

async function openPeer(
  peers: Peer[],
  name: string,
  open: () => Promise<RunningPeer> | RunningPeer,
  every = 1,
): Promise<{ contender: Contender; running: RunningPeer } | null> {
  try {
    const running = await open();
    await running.measure();
    peers.push(running.peer);
    return { running, contender: { name, every, measure: () => running.measure() } };
  } catch (error) {
    peers.push({ name, version: "absent", how: `not measured: ${error instanceof Error ? error.message.trim() : String(error)}` });
    return null;
  }
}

async function measureRounds(contenders: readonly Contender[]): Promise<Record<string, number[]>> {
  const samples: Record<string, number[]> = Object.fromEntries(contenders.map(({ name }) => [`${name}Ms`, []]));
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    // Each round begins with another contender, so that none always comes after the same one.
    for (const [index] of contenders.entries()) {
      const contender = contenders[(index + round + WARM_UP_ROUNDS) % contenders.length];
      if (contender === undefined || (contender.every > 1 && round % contender.every !== 0)) continue;
      const took = await contender.measure();
      if (round >= 0) samples[`${contender.name}Ms`]?.push(rounded(took));
    }
  }
  return samples;
}

export async function measureSpawn(): Promise<Measurement> {
  const peers: Peer[] = [];
  const underTest = await openCohort();
  const warden = await openWarden();
  const library = await libraryPeers();
  const opened = [
    await openPeer(peers, "bwrap", bwrapPeer),
    await openPeer(peers, "unshare", unsharePeer),
    await openPeer(peers, "crun", crunPeer),
    await openPeer(peers, "sandboxRuntimeLibrary", () => library.asDocumented),
    await openPeer(peers, "sandboxRuntimeLibraryReadOnly", () => library.readOnly),
    await openPeer(peers, "sandboxRuntimeCli", libraryCliPeer, SLOW_EVERY),
  ].flatMap((peer) => (peer === null ? [] : [peer]));
  try {
    const answered: number[] = [];
    const own: Contender = {
      name: "cohort",
      every: 1,
      measure: async () => {
        const { answeredMs, firstByteMs } = await measureStart(underTest.cohort, ["/usr/bin/echo", PRINTED]);
        answered.push(rounded(answeredMs));
        return firstByteMs;
      },
    };
    const sandbox: Contender = { name: "warden", every: 1, measure: () => warden.firstByteMs(["/usr/bin/echo", PRINTED]) };
    const samples = await measureRounds([own, sandbox, ...opened.map(({ contender }) => contender)]);
    return summarize({ ...samples, cohortAnsweredMs: answered.slice(WARM_UP_ROUNDS) }, peers);
  } finally {
    for (const { running } of opened) await running.close();
    await warden.close();
    await underTest.close();
  }
}

function summarize(samples: Record<string, number[]>, peers: readonly Peer[]): Measurement {
  const p50 = (name: string): number => rounded(percentile(samples[`${name}Ms`] ?? [], 50));
  const names = Object.keys(samples).map((name) => name.slice(0, -"Ms".length));
  const ratios = {
    wardenRatioToBwrap: rounded(p50("warden") / p50("bwrap")),
    ratioToBwrap: rounded(p50("cohort") / p50("bwrap")),
    ratioToUnshare: rounded(p50("cohort") / p50("unshare")),
    ratioToCrun: rounded(p50("cohort") / p50("crun")),
    ratioToSandboxRuntimeLibrary: rounded(p50("cohort") / p50("sandboxRuntimeLibrary")),
    ratioToSandboxRuntimeLibraryReadOnly: rounded(p50("cohort") / p50("sandboxRuntimeLibraryReadOnly")),
  };
  return {
    figures: {
      rounds: ROUNDS,
      ...Object.fromEntries(
        names.flatMap((name) =>
          [50, 95].map((percent) => [`${name}P${percent}Ms`, rounded(percentile(samples[`${name}Ms`] ?? [], percent))]),
        ),
      ),
      ...ratios,
    },
    samples,
    goals: [
      atMost("ratioToBwrap", "p50 / p50", 0.6, ratios.ratioToBwrap),
      atMost("ratioToSandboxRuntimeLibrary", "p50 / p50", 0.05, ratios.ratioToSandboxRuntimeLibrary),
    ],
    peers,
    notMeasured: [
      "`warden` is create and exec without cohortd: nothing is written down there; the goals are for the whole call",
      "the start of cohortd and of the warden (once per person), and the connection of the client",
      "the peers do less: no memory, process or disk limit, no seccomp filter (but sandbox-runtime), no Landlock, no uid of its own, nothing written down",
      "a network: no contender gives one",
      "a machine whose other work is the load of a real day",
    ],
  };
}
