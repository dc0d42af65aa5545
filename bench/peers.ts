/** The peers of the benches, confined as nearly as they can be to what a child of ours gets: own mounts, processes, network, no capabilities. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { firstByteMs, type Program } from "./first-byte.ts";
import type { Peer } from "./result.ts";

export const PRINTED = "x";

export interface RunningPeer {
  readonly peer: Peer;
  /** One child: milliseconds from the call to the first byte of its output. */
  measure(): Promise<number>;
  close(): Promise<void>;
}

const BWRAP_ARGS: readonly string[] = [
  ...["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
  ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
  ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home", "--chdir", "/home", "--clearenv"],
];

export function bwrapCommand(command: readonly string[]): Program {
  return { command: "bwrap", args: [...BWRAP_ARGS, "--", ...command] };
}

function unshareCommand(command: readonly string[]): Program {
  return {
    command: "unshare",
    args: ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc", "--kill-child", ...command],
  };
}

function versionOf(command: string): string {
  const result = spawnSync(command, ["--version"], { encoding: "utf8", timeout: 5000 });
  return result.status === 0 ? (result.stdout.split("\n")[0] ?? "").trim() : "absent";
}

function programPeer(name: string, program: Program): RunningPeer {
  return {
    peer: { name, version: versionOf(program.command), how: [program.command, ...program.args].join(" ") },
    measure: () => firstByteMs(program),
    close: () => Promise.resolve(),
  };
}

export function bwrapPeer(): RunningPeer {
  return programPeer("bubblewrap", bwrapCommand(["/usr/bin/echo", PRINTED]));
}

export function unsharePeer(): RunningPeer {
  return programPeer("unshare", unshareCommand(["/usr/bin/echo", PRINTED]));
}

const NAMESPACES = ["pid", "network", "ipc", "uts", "mount"];

function ociConfig(args: readonly string[]): unknown {
  const bind = (path: string): unknown => ({ destination: path, type: "bind", source: path, options: ["rbind", "ro", "nosuid"] });
  return {
    ociVersion: "1.0.0",
    process: {
      terminal: false,
      user: { uid: 65_534, gid: 65_534 },
      args,
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/",
      capabilities: {},
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "bench",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev"] },
      bind("/usr"),
      ...["/bin", "/lib", "/lib64"].map(bind),
    ],
    linux: { namespaces: NAMESPACES.map((type) => ({ type })) },
  };
}

const UNIFIED = "/sys/fs/cgroup/unified";

/** crun 1.8 refuses machines with both cgroup versions, even told to leave them alone: it gets a mount namespace that shows only version 1. */
async function hideUnified(): Promise<{ readonly enter: readonly string[]; readonly end: () => void }> {
  if (!existsSync(UNIFIED)) return { enter: [], end: () => undefined };
  const script = `umount ${UNIFIED} && umount /sys/fs/cgroup/systemd; echo ready; exec sleep 3600`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: ["ignore", "pipe", "ignore"] });
  await once(holder.stdout, "data", { signal: AbortSignal.timeout(5000) });
  return { enter: ["nsenter", `--mount=/proc/${String(holder.pid)}/ns/mnt`], end: () => holder.kill() };
}

export async function crunPeer(): Promise<RunningPeer> {
  const bundle = mkdtempSync(join(tmpdir(), "cohort-crun-"));
  for (const path of ["proc", "dev", "tmp", "usr", "bin", "lib", "lib64"]) mkdirSync(join(bundle, "rootfs", path), { recursive: true });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(ociConfig(["/usr/bin/echo", PRINTED])));
  const { enter, end } = await hideUnified();
  const program = (id: string): Program => {
    const words = [...enter, "crun", "--root", join(bundle, "state"), "--cgroup-manager=disabled", "run", "--bundle", bundle, id];
    const [command, ...args] = words as [string, ...string[]];
    return { command, args };
  };
  let count = 0;
  return {
    peer: {
      name: "crun",
      version: versionOf("crun"),
      how: `${enter.length > 0 ? "nsenter, " : ""}crun --cgroup-manager=disabled run: own namespaces but cgroup, no capabilities, read-only root`,
    },
    measure: () => firstByteMs(program(`bench-${process.pid}-${(count += 1)}`)),
    close: () => {
      end();
      rmSync(bundle, { recursive: true, force: true });
      return Promise.resolve();
    },
  };
}

const LIBRARY = "@anthropic-ai/sandbox-runtime";
const LIBRARY_DIRECTORY = join(import.meta.dirname, "../node_modules", LIBRARY);
/** That of its README, which an application would have: it may write where it works. */
const LIBRARY_CONFIG = {
  network: { allowedDomains: [], deniedDomains: [] },
  filesystem: { denyRead: ["~/.ssh"], allowWrite: [".", "/tmp"], denyWrite: [".env"] },
};

export interface LibraryPeers {
  readonly asDocumented: RunningPeer;
  /** Nothing may be written, so it has nothing to look for: the least work that it can have. */
  readonly readOnly: RunningPeer;
}

/** The library wraps a command for a shell; its proxies are started once, before anything is measured. */
export async function libraryPeers(): Promise<LibraryPeers> {
  const { SandboxManager } = await import("@anthropic-ai/sandbox-runtime");
  await SandboxManager.initialize(LIBRARY_CONFIG);
  const version = /"version": "([^"]+)"/.exec(readFileSync(join(LIBRARY_DIRECTORY, "package.json"), "utf8"))?.[1] ?? "unknown";
  const how =
    "SandboxManager.wrapWithSandbox(command), then spawn of a shell with its answer, in this checkout; initialize() is not counted; ";
  const measureWith = async (filesystem: typeof LIBRARY_CONFIG.filesystem): Promise<number> => {
    const startedAt = performance.now();
    const wrapped = await SandboxManager.wrapWithSandbox(`/usr/bin/echo ${PRINTED}`, undefined, { ...LIBRARY_CONFIG, filesystem });
    const took = await firstByteMs({ command: "/bin/sh", args: ["-c", wrapped] }, startedAt);
    SandboxManager.cleanupAfterCommand();
    return took;
  };
  const closeOnce = (): Promise<void> => SandboxManager.reset();
  return {
    asDocumented: {
      peer: { name: LIBRARY, version, how: `${how}the configuration of its README without its domains` },
      measure: () => measureWith(LIBRARY_CONFIG.filesystem),
      close: closeOnce,
    },
    readOnly: {
      peer: { name: `${LIBRARY} read-only`, version, how: `${how}nothing writable` },
      measure: () => measureWith({ denyRead: [], allowWrite: [], denyWrite: [] }),
      close: () => Promise.resolve(),
    },
  };
}

export function libraryCliPeer(): RunningPeer {
  const program = { command: process.execPath, args: [join(LIBRARY_DIRECTORY, "dist/cli.js"), "/usr/bin/echo", PRINTED] };
  return {
    peer: { name: `${LIBRARY} command line`, version: "as above", how: "srt 'echo x', its default settings" },
    measure: () => firstByteMs(program),
    close: () => Promise.resolve(),
  };
}
