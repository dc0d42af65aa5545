/** What this machine offers to the warden, as an unprivileged process reads it below `root` (`/`) in /proc and /sys. Changes nothing. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DoctorRow } from "../machines/messages/api.ts";
import { packetFilterFact } from "./packet-filter-fact.ts";

/** What the warden asks of a hierarchy (vm/warden/cgroup-set.c). */
const CONTROLLERS = ["memory", "pids", "cpu"] as const;
/** The oldest kernel that Cohort is made for: [major, minor]. */
const KERNEL_MIN = [6, 1] as const;
const CGROUP_KILL_KERNEL = [5, 14] as const;
/** First kernel of each ABI of Landlock from 1 on, as landlock(7) lists them; a distribution may have a later one. */
const LANDLOCK_KERNELS = [
  [5, 13],
  [5, 19],
  [6, 2],
  [6, 7],
  [6, 10],
  [6, 12],
  [6, 15],
] as const;
const LANDLOCK_ABI_MIN = 2;
const CGROUPS_SEARCHED_MAX = 100;

type Version = readonly [major: number, minor: number];

function rowOf(
  check: string,
  status: DoctorRow["status"],
  detail: string,
  lesser: { readonly instead?: string; readonly cost?: string } = {},
): DoctorRow {
  return { area: "machine", check, status, detail, ...lesser };
}

/** Null where it is absent or closed to this user: each row says what that means. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function versionOf(release: string): Version {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return [Number(major), Number(minor)];
}

function isAtLeast([major, minor]: Version, [wantedMajor, wantedMinor]: Version): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

interface CgroupMount {
  readonly type: "cgroup" | "cgroup2";
  readonly point: string;
  readonly options: readonly string[];
}

/** Lines `36 35 0:31 ROOT POINT opts … - TYPE SOURCE SUPER-OPTIONS` of mountinfo. */
function cgroupMounts(root: string): readonly CgroupMount[] {
  return (readText(join(root, "proc/self/mountinfo")) ?? "").split("\n").flatMap((line) => {
    const [mount = "", filesystem = ""] = line.split(" - ");
    const [type, , options = ""] = filesystem.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") return [];
    return [{ type, point: mount.split(" ")[4] ?? "", options: options.split(",") }];
  });
}

function controllerRow(name: string, root: string, mounts: readonly CgroupMount[]): DoctorRow {
  const check = `cgroup ${name}`;
  const second = mounts.find(({ type }) => type === "cgroup2");
  const offered = second === undefined ? null : readText(join(root, second.point, "cgroup.controllers"));
  if (second !== undefined && offered?.split(" ").includes(name) === true) return rowOf(check, "ok", `v2 at ${second.point}`);
  const first = mounts.find(({ type, options }) => type === "cgroup" && options.includes(name));
  return first === undefined
    ? rowOf(check, "missing", "on neither v2 nor v1; mount cgroup v2 with it, or its v1 hierarchy")
    : rowOf(check, "ok", `v1 at ${first.point}`, {
        instead: "v1",
        cost: "one cgroup more for each child",
      });
}

/** The root of the hierarchy has no such file, every other cgroup has. */
function hasKillFile(directory: string): boolean {
  try {
    const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return ["", ...below.slice(0, CGROUPS_SEARCHED_MAX).map(({ name }) => name)].some(
      (name) => statSync(join(directory, name, "cgroup.kill"), { throwIfNoEntry: false }) !== undefined,
    );
  } catch {
    return false; // Closed to this user: the kernel's version decides.
  }
}

function killRow(root: string, mounts: readonly CgroupMount[], kernel: Version): DoctorRow {
  const check = "cgroup.kill";
  const second = mounts.find(({ type }) => type === "cgroup2");
  if (second === undefined)
    return rowOf(check, "missing", "no cgroup v2 is mounted; mount it: mount -t cgroup2 none /sys/fs/cgroup/unified");
  return hasKillFile(join(root, second.point)) || isAtLeast(kernel, CGROUP_KILL_KERNEL)
    ? rowOf(check, "ok", `v2 at ${second.point}`)
    : rowOf(check, "missing", `Linux ${CGROUP_KILL_KERNEL.join(".")} or later has it`);
}

function landlockRow(root: string, kernel: Version): DoctorRow {
  const abi = LANDLOCK_KERNELS.filter((first) => isAtLeast(kernel, first)).length;
  if (abi < LANDLOCK_ABI_MIN)
    return rowOf("landlock", "missing", `ABI ${LANDLOCK_ABI_MIN} or later is needed, this kernel has ${abi === 0 ? "none" : abi}`);
  const has = `ABI ${abi}${abi === LANDLOCK_KERNELS.length ? " or later" : ""} by the kernel's version`;
  const modules = readText(join(root, "sys/kernel/security/lsm"));
  if (modules === null)
    return rowOf("landlock", "degraded", `${has}; without securityfs only the proof in a child tells whether it is enabled`);
  return modules.split(",").includes("landlock")
    ? rowOf("landlock", "ok", `${has}; enabled`)
    : rowOf("landlock", "missing", `not enabled (lsm=${modules}); add it to the kernel's parameter lsm=`);
}

/**
 * A piped pattern makes the kernel run a program of the machine, as root, on the memory of what crashed. With a socket (Linux 6.16) the kernel
 * hands that memory to whoever listens, and asks no limit.
 */
function coreRow(root: string): DoctorRow {
  const pattern = readText(join(root, "proc/sys/kernel/core_pattern"));
  if (pattern === null) return rowOf("core_pattern", "degraded", "cannot be read");
  if (pattern.startsWith("@"))
    return rowOf(
      "core_pattern",
      "degraded",
      `a socket: ${pattern.replace(/^@+/, "").split(" ")[0] ?? ""}; no limit keeps a child that crashes from it`,
      {
        cost: "the machine's dump server reads the memory of children that crash",
      },
    );
  return pattern.startsWith("|")
    ? rowOf("core_pattern", "ok", `piped to ${pattern.slice(1).split(" ")[0] ?? ""}; never for a child: its core limit of 1 forbids it`, {
        cost: "no core dump of a child",
      })
    : rowOf("core_pattern", "ok", `not piped: ${pattern === "" ? "no core files" : pattern}`);
}

/** The second layer around a child with a network: behind it stands that its namespace has loopback alone, and no route. */
function packetFilterRow(root: string, release: string): DoctorRow {
  const fact = packetFilterFact(root, release);
  if (fact !== "absent" && fact !== "unknown") return rowOf("nftables", "ok", fact);
  return rowOf(
    "nftables",
    "degraded",
    fact === "absent" ? "this kernel has no nf_tables" : "this kernel does not tell whether it has nf_tables",
    {
      instead: "a network namespace with loopback alone, and no route out of it",
      cost: "children with network proxied have no packet filter behind that",
    },
  );
}

/** What other machines have and the layers do not stand on: absent, something else does its work. */
function optionalRows(root: string): readonly DoctorRow[] {
  const yama = readText(join(root, "proc/sys/kernel/yama/ptrace_scope"));
  const appArmor = readText(join(root, "sys/module/apparmor/parameters/enabled"));
  return [
    rowOf("session disk", "ok", "a tmpfs of its own for each child", {
      instead: "memory, as there is no project quota to rely on",
      cost: "what a child writes counts as memory of this machine",
    }),
    yama === null
      ? rowOf("yama", "ok", "absent", { instead: "filter of system calls and a process tree of its own", cost: "nothing" })
      : rowOf("yama", "ok", `ptrace_scope ${yama}`),
    appArmor === "Y"
      ? rowOf("apparmor", "ok", "enabled; no profile of ours is needed")
      : rowOf("apparmor", "ok", "absent", { instead: "Landlock and mounts", cost: "nothing" }),
  ];
}

export function machineRows(cores: number, memoryBytes: number, root = "/"): readonly DoctorRow[] {
  const release = readText(join(root, "proc/sys/kernel/osrelease")) ?? "unknown";
  const kernel = versionOf(release);
  const mounts = cgroupMounts(root);
  return [
    isAtLeast(kernel, KERNEL_MIN)
      ? rowOf("kernel", "ok", `Linux ${release}`)
      : rowOf("kernel", "degraded", `Linux ${release}; Cohort is made for ${KERNEL_MIN.join(".")} and later`),
    rowOf("size", "ok", `${cores} ${cores === 1 ? "core" : "cores"}, ${Math.round(memoryBytes / 1024 ** 2)} MiB of memory`),
    ...CONTROLLERS.map((name) => controllerRow(name, root, mounts)),
    killRow(root, mounts, kernel),
    landlockRow(root, kernel),
    coreRow(root),
    packetFilterRow(root, release),
    ...optionalRows(root),
  ];
}
