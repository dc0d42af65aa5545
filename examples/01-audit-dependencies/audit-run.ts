/** The audit as tasks: one confined child for each installed package, and one for the planted one. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect, type TaskInput, type TaskResult } from "../../sdk/index.ts";
import { assemble } from "./assembly.ts";
import { closureOf, installedPackages, type InstalledPackage } from "./installed-packages.ts";

export interface AuditedTask {
  readonly installed: InstalledPackage;
  /** Packages that its child could see, itself included. */
  readonly visible: number;
  readonly result: TaskResult;
}

export interface Audit {
  readonly audited: readonly AuditedTask[];
  readonly planted: TaskResult;
  /** Connections that reached the place where the planted package phones. */
  readonly callsHome: number;
  readonly wallMs: number;
}

export interface AuditOptions {
  /** Directory that holds node_modules. */
  readonly root: string;
  readonly onResult: (done: number, total: number, result: TaskResult) => void;
}

/** Every package gets the same: nobody knows beforehand which one is hostile. */
const LIMITS = { memoryBytes: 512 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, tmpBytes: 16 * 1024 ** 2, pidsMax: 64 };
const TASK_TIMEOUT_MS = 60_000;
const PLANTED = "colour-padding";

function taskFor(name: string, path: string, packages: string, env: Readonly<Record<string, string>>): TaskInput {
  return {
    title: name,
    command: ["mnt/node", "mnt/inside/inspect.mjs", "mnt/packages", path, name],
    mounts: [
      { path: process.execPath, as: "node" },
      { path: join(import.meta.dirname, "inside"), as: "inside" },
      { path: packages, as: "packages" },
    ],
    env: { ...env },
    limits: LIMITS,
    timeoutMs: TASK_TIMEOUT_MS,
  };
}

/** Where the planted package phones home: it counts who gets through. */
async function listenForCalls(): Promise<{ readonly port: number; readonly calls: () => number; readonly close: () => void }> {
  let calls = 0;
  const server = createServer((socket) => {
    calls += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  return { port: address.port, calls: () => calls, close: () => server.close() };
}

export async function audit(options: AuditOptions): Promise<Audit> {
  const all = installedPackages(options.root);
  const startedAt = performance.now();
  // On the file system of node_modules, because a hard link cannot leave it; readable by the user that cohortd runs as.
  const cache = join(options.root, "node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, "audit-"));
  chmodSync(directory, 0o755);
  const home = await listenForCalls();
  try {
    const closures = [...all.values()].map((installed) => ({ installed, closure: closureOf(all, installed) }));
    const tasks = closures.map(({ installed, closure }, index) => {
      const packages = join(directory, String(index));
      assemble(options.root, closure, packages);
      return taskFor(installed.name, installed.path, packages, {});
    });
    const planted = join(directory, "planted");
    cpSync(join(import.meta.dirname, "hostile"), join(planted, "node_modules", PLANTED), { recursive: true });
    const canary = join(directory, "canary");
    writeFileSync(canary, "canary-secret");
    process.env["AUDIT_CANARY"] = "canary-secret";
    // Every user may read these, and every user may pass through to them: what keeps the children out is that they are not there.
    tasks.unshift(taskFor(PLANTED, `node_modules/${PLANTED}`, planted, { AUDIT_HOME_PORT: String(home.port), AUDIT_CANARY_PATH: canary }));
    const results = await runAll(tasks, options);
    const [plantedResult, ...audited] = results;
    if (plantedResult === undefined) throw new Error("the planted package has no result");
    return {
      audited: closures.map(({ installed, closure }, index) => ({ installed, visible: closure.length, result: resultAt(audited, index) })),
      planted: plantedResult,
      callsHome: home.calls(),
      wallMs: performance.now() - startedAt,
    };
  } finally {
    home.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function resultAt(results: readonly (TaskResult | undefined)[], index: number): TaskResult {
  const result = results[index];
  if (result === undefined) throw new Error(`task ${index} has no result`);
  return result;
}

async function runAll(tasks: readonly TaskInput[], options: AuditOptions): Promise<readonly (TaskResult | undefined)[]> {
  await using cohort = await connect();
  const run = await cohort.run({ title: "audit of installed packages", tasks: [...tasks] });
  const results: (TaskResult | undefined)[] = Array.from({ length: tasks.length });
  let done = 0;
  for await (const result of run.results()) {
    results[result.index] = result;
    options.onResult((done += 1), tasks.length, result);
  }
  return results;
}
