/** What a warden has of its children on this machine, counted in every place where something of them could stay: nothing may be left of any. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../daemon/own-home.ts";

export interface Remains {
  readonly cgroups: number;
  /** Of the warden and all its descendants. */
  readonly processes: number;
  /** Network namespaces that a process or a mount of the warden's holds. */
  readonly networks: number;
  /** Mounts that the warden's processes see, the largest number of any. */
  readonly mounts: number;
}

const CGROUP_TOP = "/sys/fs/cgroup";
const REST_TIMEOUT_MS = 30_000;
const REST_INTERVAL_MS = 300;

/** Process ids whose command line has this text; not the caller's own. */
export function processesNamed(marker: string): readonly number[] {
  return processIds().filter(
    (pid) => pid !== process.pid && (attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "").includes(marker),
  );
}

/** Instance of the warden that listens there: the name of the lock file that it holds open names its cgroups, too. */
export function wardenInstance(socket: string): string {
  for (const pid of processesNamed(socket)) {
    for (const fd of attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const held = /instances\/([0-9a-f]+)\.lock/.exec(attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? "")?.[1];
      if (held !== undefined) return held;
    }
  }
  throw new Error(`no warden listens at ${socket}`);
}

/** Those of sandboxes, living or prepared, by their names; the few empty ones that a warden keeps for the next sandbox have others. */
export function sandboxCgroups(instance: string): readonly string[] {
  return readdirSync(CGROUP_TOP)
    .map((hierarchy) => join(CGROUP_TOP, hierarchy, `cohort.${instance}`))
    .filter((top) => existsSync(top))
    .flatMap((top) =>
      readdirSync(top, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && /^s\d+$/.test(entry.name))
        .map(({ name }) => join(top, name)),
    );
}

export function remainsOf(socket: string): Remains {
  const processes = withDescendants(processesNamed(socket));
  const networks = new Set(processes.map((pid) => attempt(() => readlinkSync(`/proc/${pid}/ns/net`))));
  const mounts = processes.map((pid) => (attempt(() => readFileSync(`/proc/${pid}/mountinfo`, "utf8")) ?? "").split("\n").length - 1);
  return {
    cgroups: sandboxCgroups(wardenInstance(socket)).length,
    processes: processes.length,
    networks: networks.size,
    mounts: Math.max(0, ...mounts),
  };
}

/** Sandboxes stand ready for whoever comes, and are refilled in the background: counts what is there once it changes no more. */
export async function remainsAtRest(socket: string): Promise<Remains> {
  let [before, now] = ["", remainsOf(socket)];
  await eventually(
    async () => {
      await new Promise((resolve) => setTimeout(resolve, REST_INTERVAL_MS));
      before = JSON.stringify(now);
      now = remainsOf(socket);
      return JSON.stringify(now) === before;
    },
    "the warden is at rest",
    REST_TIMEOUT_MS,
  );
  return now;
}

function processIds(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function withDescendants(roots: readonly number[]): readonly number[] {
  const children = new Map<number, number[]>();
  for (const pid of processIds()) {
    const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8")) ?? "";
    // Behind the name, which may hold anything but is closed by the last parenthesis: state, parent.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = new Set<number>();
  const visit = (pid: number): void => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const root of roots) visit(root);
  return [...found];
}

/** Processes end while they are looked at. */
function attempt<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}
