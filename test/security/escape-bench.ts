/** A sandbox bench with the programs of test/security/programs, compiled once and mounted read-only in every sandbox. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import type { MountPlan } from "../../vm/backend.ts";
import { SandboxBench, type Outcome, type RunOptions } from "../vm/sandbox-bench.ts";
import { PERSON_UID } from "../vm/warden-process.ts";

const programs = ["attempt", "escape", "swap", "hold"] as const;
export type Program = (typeof programs)[number];

export class EscapeBench {
  readonly bench: SandboxBench;
  readonly toolsMount: MountPlan;
  readonly #tools: string;

  private constructor(bench: SandboxBench, tools: string) {
    this.bench = bench;
    this.#tools = tools;
    this.toolsMount = { source: tools, target: "tools", mode: "ro" };
  }

  static async start(): Promise<EscapeBench> {
    const bench = await SandboxBench.start();
    const tools = bench.warden.personDirectory("tools");
    for (const program of programs) {
      const binary = join(tools, program);
      execFileSync("cc", ["-static", "-O1", "-Wall", "-Werror", "-o", binary, join(import.meta.dirname, `programs/${program}.c`)]);
      chmodSync(binary, 0o755);
    }
    return new EscapeBench(bench, tools);
  }

  sandbox(changes: Parameters<SandboxBench["plan"]>[0] = {}): Promise<string> {
    return this.bench.sandbox({ ...changes, mounts: [this.toolsMount, ...(changes?.mounts ?? [])] });
  }

  inside(name: string, program: Program, args: readonly string[], options?: RunOptions): Promise<Outcome> {
    return this.bench.run(name, [`/sessions/${name}/mnt/tools/${program}`, ...args], options);
  }

  tool(program: Program): string {
    return join(this.#tools, program);
  }

  /** The same program as an ordinary user of this machine: the control that makes a test able to fail. */
  outside(program: Program, args: readonly string[]): string {
    const result = spawnSync(this.tool(program), args, {
      uid: PERSON_UID,
      gid: PERSON_UID,
      cwd: this.#tools,
      timeout: 10_000,
      encoding: "utf8",
    });
    return result.stdout;
  }

  stop(): Promise<void> {
    return this.bench.stop();
  }
}
