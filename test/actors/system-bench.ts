/** A system in a directory of its own, with a simulated warden (or another one) that outlives it; everything is gone after close(). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { System } from "../../actors/contract.ts";
import { openSystem } from "../../actors/system.ts";
import { runSpecSchema, type RunSpecInput, type TaskInput } from "../../machines/messages/task.ts";
import type { RunEvent, TaskResult } from "../../machines/messages/result.ts";
import type { Vm, VmEvents } from "../../vm/backend.ts";
import type { Origin } from "../../runtime/contract.ts";
import { SimulatedWarden } from "./simulated-warden.ts";

export const origin: Origin = { surface: "test", device: "vitest" };

export class SystemBench {
  readonly directory = mkdtempSync(join(tmpdir(), "cohort-system-"));
  readonly warden = new SimulatedWarden();
  readonly #connect: (events: VmEvents) => Promise<Vm>;
  #system: System | null = null;

  constructor(connect?: (events: VmEvents) => Promise<Vm>) {
    this.#connect = connect ?? this.warden.connect;
  }

  get system(): System {
    if (this.#system === null) throw new Error("open() first");
    return this.#system;
  }

  async open(): Promise<System> {
    this.#system = await openSystem({ stateDirectory: this.directory, connectVm: this.#connect, cores: 2 });
    return this.#system;
  }

  async stop(): Promise<void> {
    await this.#system?.stop();
    this.#system = null;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async start(
    tasks: readonly (Partial<TaskInput> & { readonly command: string[] })[],
    rest: Partial<RunSpecInput> = {},
    key?: string,
  ): Promise<string> {
    const spec = runSpecSchema.parse({ title: "test", ...rest, tasks: tasks.map((task, index) => ({ title: `task ${index}`, ...task })) });
    return (await this.system.startRun(spec, key, origin)).run;
  }

  /** Every event until run-finished. */
  async events(run: string, after = 0): Promise<RunEvent[]> {
    const events: RunEvent[] = [];
    for await (const { event } of this.system.watch(run, after, AbortSignal.timeout(60_000))) events.push(event);
    return events;
  }

  /** By index, once the run has ended. */
  async results(run: string): Promise<TaskResult[]> {
    await this.events(run);
    const { results } = await this.system.results(run, 0, 100_000);
    return results.map(({ result }) => result).toSorted((one, other) => one.index - other.index);
  }

  async log(run: string, index: number): Promise<string> {
    const parts: Buffer[] = [];
    const request = { run, index, follow: false, stdoutOffset: 0, stderrOffset: 0 };
    for await (const { bytes } of this.system.logs(request, AbortSignal.timeout(30_000))) parts.push(Buffer.from(bytes));
    return Buffer.concat(parts).toString("utf8");
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 20_000): Promise<void> {
  const endAtMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > endAtMs) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
