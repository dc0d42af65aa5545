/** `cancel`: from the end of grace to the proof that nothing of a child is left, for trees that go easily and for some that do not want to. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";
import { openWarden, type WardenUnderTest } from "./warden-under-test.ts";

const ROUNDS = 20;
const GROW_MS = 150;

const TREES: Readonly<Record<string, string>> = {
  wellBehaved: "for i in 1 2 3 4; do sleep 3600 & done; wait",
  // Sessions of their own, parents gone, signals ignored.
  doubleFork:
    "trap '' TERM HUP INT; for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'trap \"\" TERM HUP INT; (sleep 3600 &) ; sleep 3600' &) ; done; sleep 3600",
  forkBomb: "bomb() { bomb | bomb & }; bomb; sleep 3600",
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** As the kernel lists processes, not as the warden says. */
function processesOf(uid: number): number {
  let found = 0;
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/u.test(pid)) continue;
    try {
      if (readFileSync(`/proc/${pid}/status`, "utf8").includes(`\nUid:\t${uid}\t`)) found += 1;
    } catch (error) {
      // It ended between the listing and the look.
      if (!(error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))) throw error;
    }
  }
  return found;
}

async function cancelOnce(warden: WardenUnderTest, name: string, script: string): Promise<{ readonly ms: number; readonly left: number }> {
  const { uid } = await warden.start(name, ["/bin/sh", "-c", script], { pidsMax: 128 });
  await pause(GROW_MS);
  const startedAt = performance.now();
  await warden.vm.kill(name);
  await warden.vm.destroy(name);
  const ms = rounded(performance.now() - startedAt);
  // The mounts and namespaces of a sandbox live exactly as long as a process or a descriptor of it.
  return { ms, left: processesOf(uid) + (existsSync(join(warden.cgroup(), `s${uid}`)) ? 1 : 0) };
}

export async function measureCancel(): Promise<Measurement> {
  const warden = await openWarden();
  const samples: Record<string, number[]> = {};
  let left = 0;
  try {
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [tree, script] of Object.entries(TREES)) {
        const one = await cancelOnce(warden, `cancel-${tree.toLowerCase()}-${round}`, script);
        (samples[`${tree}Ms`] ??= []).push(one.ms);
        left += one.left;
      }
  } finally {
    await warden.close();
  }
  const p95 = (tree: string): number => percentile(samples[`${tree}Ms`] ?? [], 95);
  const names = Object.keys(TREES);
  return {
    figures: {
      rounds: ROUNDS,
      ...Object.fromEntries(
        names.flatMap((tree) => [
          [`${tree}P50Ms`, percentile(samples[`${tree}Ms`] ?? [], 50)],
          [`${tree}P95Ms`, p95(tree)],
        ]),
      ),
      leftAfterProof: left,
    },
    samples: { ...samples, leftAfterProof: [left] },
    goals: [
      ...names.map((tree) => atMost(`${tree}P95Ms`, "ms", 100, p95(tree))),
      atMost("leftAfterProof", "processes and cgroups", 0, left),
    ],
    peers: [],
    notMeasured: ["the grace before it, which a task may use up", "the commit of the cancellation in cohortd's journal"],
  };
}
