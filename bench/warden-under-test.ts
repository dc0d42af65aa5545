/** A warden of the bench's own, spoken to without cohortd: what of a start is the sandbox itself. */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { ensureSystemUser } from "../app/daemon/system-user.ts";
import { endWarden, ensureWarden, makeLaunchDirectory } from "../app/daemon/warden-launch.ts";
import type { ExecPlan, OutputChunk, SandboxInfo, SandboxPlan, Vm } from "../vm/backend.ts";
import { connectWarden } from "../vm/host/warden-connection.ts";

export interface WardenUnderTest {
  readonly vm: Vm;
  /** Creates a sandbox with a task's default limits, or with others, and starts the command in it; its output is acknowledged as it comes. */
  start(name: string, command: readonly string[], limits?: Partial<SandboxPlan["limits"]>): Promise<SandboxInfo>;
  /** Directory of the warden's cgroups in the v2 hierarchy. */
  cgroup(): string;
  /** From create and exec to the first byte; the sandbox is destroyed before it resolves. */
  firstByteMs(command: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

const LEASE_MS = 60_000;
const WINDOW_BYTES = 64 * 1024;
const MEBIBYTE = 1024 ** 2;
/** The defaults of a task. */
const LIMITS: SandboxPlan["limits"] = {
  memoryBytes: 512 * MEBIBYTE,
  diskBytes: 256 * MEBIBYTE,
  diskInodes: 65_536,
  diskKind: "tmpfs",
  tmpBytes: 64 * MEBIBYTE,
  pidsMax: 256,
  cpuPermille: 0,
  openFilesMax: 1024,
};

export async function openWarden(): Promise<WardenUnderTest> {
  const account = ensureSystemUser();
  const socket = `/run/cohort/bench-${randomBytes(6).toString("hex")}/warden.sock`;
  makeLaunchDirectory();
  await ensureWarden(account, socket, "while-used");
  const waiting = new Map<string, { readonly output: (chunk: OutputChunk) => void; readonly exited: () => void }>();
  const vm = await connectWarden(
    socket,
    { supervisorId: "bench", freezeAfterMs: LEASE_MS, killAfterMs: LEASE_MS },
    {
      output: (chunk) => {
        const one = waiting.get(chunk.name);
        if (one === undefined) vm.ackOutput(chunk.name, chunk.execId, chunk.stream, chunk.offset + chunk.bytes.length);
        else one.output(chunk);
      },
      exit: ({ name }) => waiting.get(name)?.exited(),
      stdinAcked: () => undefined,
      died: () => undefined,
      grantEnded: () => undefined,
      denied: () => undefined,
      notice: () => undefined,
      closed: () => undefined,
    },
  );
  let count = 0;
  return {
    vm,
    start: async (name, command, limits = {}) => {
      const created = vm.create(plan(name, limits));
      await vm.exec(name, execPlan(command));
      return created;
    },
    cgroup: () => wardenCgroup(vm.identity.wardenId),
    firstByteMs: (command) => firstByte(vm, `bench-${(count += 1)}`, command, waiting),
    close: async () => {
      vm.close();
      await endWarden(socket);
      rmSync(dirname(socket), { recursive: true, force: true });
    },
  };
}

async function firstByte(
  vm: Vm,
  name: string,
  command: readonly string[],
  waiting: Map<string, { readonly output: (chunk: OutputChunk) => void; readonly exited: () => void }>,
): Promise<number> {
  let firstAt = Number.NaN;
  const startedAt = performance.now();
  const exited = new Promise<void>((resolve) => {
    waiting.set(name, {
      output: ({ execId, stream, offset, bytes }) => {
        if (Number.isNaN(firstAt) && bytes.length > 0) firstAt = performance.now();
        vm.ackOutput(name, execId, stream, offset + bytes.length);
      },
      exited: resolve,
    });
  });
  const created = vm.create(plan(name));
  await vm.exec(name, execPlan(command));
  await created;
  await exited;
  vm.ackExit(name, 1);
  await vm.destroy(name);
  waiting.delete(name);
  if (Number.isNaN(firstAt)) throw new Error(`${name} wrote nothing`);
  return firstAt - startedAt;
}

function plan(name: string, limits: Partial<SandboxPlan["limits"]> = {}): SandboxPlan {
  return { name, timeoutMs: LEASE_MS * 10, limits: { ...LIMITS, ...limits }, network: "none", mounts: [] };
}

function execPlan(command: readonly string[]): ExecPlan {
  return {
    execId: 1,
    kind: "command",
    argv: command,
    env: {},
    cwd: "/",
    pty: null,
    stdin: "none",
    windowBytes: WINDOW_BYTES,
  };
}

/** The warden's record names its directories, the v2 one first. */
function wardenCgroup(wardenId: string): string {
  const [directory = ""] = readFileSync(`/run/cohort/instances/${wardenId.slice(0, 16)}.lock`, "utf8").split("\n");
  return directory;
}
