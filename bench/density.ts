/** `density`: four thousand children alive at once: what each costs to make, to hold and to end, and what is left. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { atMost, percentile, rounded, type Measurement } from "./result.ts";
import { openWarden, type WardenUnderTest } from "./warden-under-test.ts";

/** The warden takes 4096 at most, and a few are prepared ahead. */
const CHILDREN = 4000;
const DESTROYED_AT_ONCE = 64;
const SETTLE_MS = 1000;
const LEFTOVERS_WAIT_MS = 10_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function numbersBehind(text: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(?<kibibytes>\\d+) kB$`, "mu").exec(text)?.groups?.["kibibytes"] ?? 0);
}

/** Proportional set size of every process of the warden's cgroups. */
function pssKib(cgroup: string): number {
  let sum = 0;
  for (const directory of readdirSync(cgroup, { withFileTypes: true })) {
    if (!directory.isDirectory()) continue;
    for (const pid of readFileSync(join(cgroup, directory.name, "cgroup.procs"), "utf8")
      .split("\n")
      .filter(Boolean))
      sum += numbersBehind(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Pss");
  }
  return sum;
}

/** What the kernel itself holds, of which there is no account by sandbox. */
function kernelKib(): number {
  const text = readFileSync("/proc/meminfo", "utf8");
  return ["Slab", "KernelStack", "PageTables", "SecPageTables", "Percpu"].reduce((sum, key) => sum + numbersBehind(text, key), 0);
}

interface Left {
  readonly processes: number;
  readonly cgroups: number;
  readonly mounts: number;
}

/** Those of every sandbox, the prepared ones among them. */
function count(cgroup: string): Left {
  // Called by uid; what copies are counted against is one for all of them, and stays.
  const cgroups = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory() && /^s\d+$/u.test(entry.name));
  let processes = 0;
  let mounts = 0;
  for (const { name } of cgroups)
    for (const pid of readFileSync(join(cgroup, name, "cgroup.procs"), "utf8")
      .split("\n")
      .filter(Boolean)) {
      processes += 1;
      mounts += readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n").length;
    }
  return { processes, cgroups: cgroups.length, mounts };
}

async function createAll(warden: WardenUnderTest, createMs: number[]): Promise<void> {
  for (let index = 0; index < CHILDREN; index += 1) {
    const startedAt = performance.now();
    await warden.start(`dense-${index}`, ["/usr/bin/sleep", "3600"]);
    createMs.push(rounded(performance.now() - startedAt));
  }
}

async function destroyAll(warden: WardenUnderTest): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const destroyNext = async (): Promise<void> => {
    while (next < CHILDREN) await warden.vm.destroy(`dense-${next++}`);
  };
  await Promise.all(Array.from({ length: DESTROYED_AT_ONCE }, destroyNext));
  return performance.now() - startedAt;
}

/** Prepared sandboxes stand before and after, more or fewer: whatever is above what the pool may hold is left over. */
const PREPARED_MAX = 16;

async function leftovers(cgroup: string): Promise<Left> {
  const endAt = performance.now() + LEFTOVERS_WAIT_MS;
  for (;;) {
    const left = count(cgroup);
    if (left.cgroups <= PREPARED_MAX || performance.now() > endAt) return left;
    await pause(50);
  }
}

export async function measureDensity(): Promise<Measurement> {
  const warden = await openWarden();
  try {
    await pause(SETTLE_MS);
    const cgroup = warden.cgroup();
    const createMs: number[] = [];
    const kernelBefore = kernelKib();
    const before = count(cgroup);
    await createAll(warden, createMs);
    await pause(SETTLE_MS);
    const standing = count(cgroup);
    const pss = pssKib(cgroup);
    const kernel = kernelKib() - kernelBefore;
    const teardownMs = await destroyAll(warden);
    const after = await leftovers(cgroup);
    const over = Math.max(0, after.cgroups - PREPARED_MAX) + Math.max(0, after.processes - PREPARED_MAX);
    const perChildKib = rounded((pss + kernel) / CHILDREN);
    const createP50Ms = percentile(createMs, 50);
    return {
      figures: {
        children: CHILDREN,
        createP50Ms,
        createP95Ms: percentile(createMs, 95),
        pssPerChildKib: rounded(pss / CHILDREN),
        kernelPerChildKib: rounded(kernel / CHILDREN),
        perChildKib,
        processesStanding: standing.processes,
        mountsStanding: standing.mounts,
        cgroupsBefore: before.cgroups,
        cgroupsAfter: after.cgroups,
        teardownMs: rounded(teardownMs),
        leftovers: over,
      },
      samples: { createMs, pssKib: [pss], kernelKib: [kernel], teardownMs: [rounded(teardownMs)], leftovers: [over] },
      goals: [
        atMost("createP50Ms", "ms", 3, createP50Ms),
        atMost("perChildKib", "KiB", 400, perChildKib),
        atMost("teardownMs", "ms", 5000, rounded(teardownMs)),
        atMost("leftovers", "processes and cgroups", 0, over),
      ],
      peers: [],
      notMeasured: [
        "mounts, network namespaces and files that are left, and what is left after the warden itself ended: test/vm and test/warden look at that",
        "kernel memory is that of the whole machine, before and after, and on one that once had many file systems its table of them stays long",
        "v1 cgroups that serve the next sandbox: those of thousands are removed in the seconds after their end, test/vm looks at that",
        "cohortd: its children are the same, its own memory is another bench's",
      ],
    };
  } finally {
    await warden.close();
  }
}
