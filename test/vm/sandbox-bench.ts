/** A warden, one connection to it, and short ways to build sandboxes and run commands in them. Acknowledges what comes, unless told not to. */
import type { ExecExit, ExecPlan, MountPlan, OutputChunk, SandboxLimits, SandboxPlan, Vm } from "../../vm/backend.ts";
import { RecordedEvents } from "./recorded-events.ts";
import { WardenProcess, type WardenOptions } from "./warden-process.ts";

export const limits: SandboxLimits = {
  memoryBytes: 256 * 1024 * 1024,
  diskBytes: 16 * 1024 * 1024,
  diskInodes: 4096,
  diskKind: "tmpfs",
  tmpBytes: 8 * 1024 * 1024,
  pidsMax: 64,
  cpuPermille: 0,
  openFilesMax: 256,
};

export interface Outcome {
  readonly exit: ExecExit;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: Uint8Array;
  readonly windowBytes?: number;
  readonly tools?: "stream";
  readonly pty?: ExecPlan["pty"];
  readonly deadlineMs?: number;
}

/** Names are unique for the process, so that nothing of an earlier test can answer. */
let names = 0;

export class SandboxBench {
  readonly warden: WardenProcess;
  events = new RecordedEvents();
  #vm: Vm | null = null;
  #execs = 0;
  acknowledges = true;

  private constructor(warden: WardenProcess) {
    this.warden = warden;
  }

  static async start(options: WardenOptions = {}): Promise<SandboxBench> {
    const bench = new SandboxBench(await WardenProcess.start(options));
    await bench.connect();
    return bench;
  }

  get vm(): Vm {
    if (this.#vm === null) throw new Error("not connected");
    return this.#vm;
  }

  async connect(options: { readonly freezeAfterMs?: number; readonly killAfterMs?: number } = {}): Promise<void> {
    const events = this.events;
    events.onExit = (exit) => {
      if (this.acknowledges) this.#vm?.ackExit(exit.name, exit.execId);
    };
    events.onOutput = (chunk) => this.#acknowledge(chunk);
    this.#vm = await this.warden.connect(events, options);
  }

  /** Hangs up without a word, as a supervisor that was killed. */
  disconnect(): void {
    this.#vm?.close();
    this.#vm = null;
  }

  plan(
    changes: {
      readonly limits?: Partial<SandboxLimits>;
      readonly mounts?: readonly MountPlan[];
      readonly timeoutMs?: number;
      readonly name?: string;
      /** "proxied": to an endpoint that does not exist. */
      readonly network?: SandboxPlan["network"] | "proxied";
    } = {},
  ): SandboxPlan {
    names += 1;
    return {
      name: changes.name ?? `test-${process.pid}-${names}`,
      timeoutMs: changes.timeoutMs ?? 60_000,
      limits: { ...limits, ...changes.limits },
      network: changes.network === "proxied" ? { type: "proxied", endpoint: this.warden.endpoint("absent") } : (changes.network ?? "none"),
      mounts: changes.mounts ?? [],
    };
  }

  async sandbox(changes: Parameters<SandboxBench["plan"]>[0] = {}): Promise<string> {
    const info = await this.vm.create(this.plan(changes));
    return info.name;
  }

  execPlan(argv: readonly string[], options: RunOptions = {}): ExecPlan {
    this.#execs += 1;
    return {
      execId: this.#execs,
      kind: "command",
      argv,
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", ...options.env },
      cwd: options.cwd ?? "",
      pty: options.pty ?? null,
      stdin: options.stdin === undefined ? "none" : "stream",
      windowBytes: options.windowBytes ?? 65_536,
      ...(options.tools === undefined ? {} : { tools: options.tools }),
    };
  }

  /** Starts it and answers its id. */
  async start(name: string, argv: readonly string[], options: RunOptions = {}): Promise<number> {
    const plan = this.execPlan(argv, { cwd: `/sessions/${name}`, ...options });
    await this.vm.exec(name, plan);
    if (options.stdin !== undefined) this.vm.writeStdin(name, plan.execId, 0, options.stdin, true);
    return plan.execId;
  }

  async run(name: string, argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return this.outcome(name, await this.start(name, argv, options), options.deadlineMs);
  }

  sh(name: string, script: string, options: RunOptions = {}): Promise<Outcome> {
    return this.run(name, ["/bin/sh", "-c", script], options);
  }

  async outcome(name: string, execId: number, deadlineMs = 20_000): Promise<Outcome> {
    const isIt = (exit: ExecExit): boolean => exit.name === name && exit.execId === execId;
    const exit = await this.events.until(`the exit of ${execId} in ${name}`, () => this.events.exits.find(isIt), deadlineMs);
    const [stdout, stderr] = (["stdout", "stderr"] as const).map((stream) => this.events.bytesOf(name, execId, stream).toString());
    return { exit, stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  async destroy(name: string): Promise<void> {
    await this.vm.destroy(name);
  }

  async stop(): Promise<void> {
    this.disconnect();
    await this.warden.stop();
  }

  #acknowledge(chunk: OutputChunk): void {
    if (this.acknowledges) this.#vm?.ackOutput(chunk.name, chunk.execId, chunk.stream, chunk.offset + chunk.bytes.length);
  }
}
