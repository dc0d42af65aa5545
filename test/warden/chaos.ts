/**
 * A supervisor that does everything at once and keeps hanging up, from a seed. At its end it checks what must hold whatever happened:
 * each command that was told as started has one exit, its output is whole up to that exit, and nothing is left.
 */
import type { ExecExit, OutputChunk, Vm, VmEvents } from "../../vm/backend.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { sandboxPlan, shellPlan } from "./codec-process.ts";

export type Connect = (events: VmEvents) => Promise<Vm>;

interface Stream {
  readonly bytes: Buffer[];
  end: number;
}

const OUTPUT_BYTES = 60_000;
const SCRIPTS = [
  `head -c ${OUTPUT_BYTES} /dev/zero | tr '\\0' x`,
  "echo short",
  "echo out; echo err >&2; exit 3",
  "kill -9 $$",
  "sleep 0.05; echo later",
  "sleep 30",
  "sleep 30 & echo parent",
  "exec 1>&-; sleep 0.02; exec 2>&-; sleep 0.02",
];

export class Chaos {
  readonly seed: number;
  readonly exits = new Map<string, ExecExit>();
  readonly started = new Set<string>();
  readonly problems: string[] = [];
  readonly #connect: Connect;
  readonly #streams = new Map<string, Stream>();
  #state: number;
  #vm: Vm | null = null;
  #names: string[] = [];
  #made = 0;

  constructor(seed: number, connect: Connect) {
    this.seed = seed;
    this.#state = seed * 2 + 1;
    this.#connect = connect;
  }

  async run(steps: number): Promise<void> {
    const background: Promise<void>[] = [];
    for (let step = 0; step < steps; step += 1) {
      if (this.#vm === null || this.#below(60) === 0) await this.#reconnect();
      background.push(this.#tolerant(this.#act()));
      if (this.#below(4) === 0) await new Promise((resolve) => setTimeout(resolve, this.#below(8)));
    }
    await Promise.all(background);
    await this.#finish();
  }

  async #act(): Promise<void> {
    const vm = this.#vm;
    if (vm === null) return;
    const name = this.#names[this.#below(this.#names.length)];
    const choice = this.#below(20);
    if (name === undefined || choice < 5) return this.#create(vm);
    if (choice < 13) return this.#exec(vm, name, this.#below(6) + 1);
    if (choice < 14) return vm.kill(name);
    if (choice < 16) return this.#destroy(vm, name);
    if (choice < 17) return vm.signal(name, this.#below(7), 15);
    if (choice < 18) return vm.freeze(name).then(() => vm.thaw(name));
    if (choice < 19) return void (await vm.stats(name));
    return void (await vm.list());
  }

  async #create(vm: Vm): Promise<void> {
    this.#made += 1;
    const name = `chaos-${this.seed}-${this.#made}`;
    this.#names.push(name);
    if (this.#names.length > 12) this.#names.shift();
    await vm.create(sandboxPlan(name));
  }

  async #exec(vm: Vm, name: string, execId: number): Promise<void> {
    const script = SCRIPTS[this.#below(SCRIPTS.length)] ?? "true";
    await vm.exec(name, shellPlan(execId, script, { windowBytes: 4096 << this.#below(5) }));
    this.started.add(`${name}/${execId}`);
  }

  async #destroy(vm: Vm, name: string): Promise<void> {
    this.#names = this.#names.filter((each) => each !== name);
    await vm.destroy(name);
  }

  /** Refusals and lost connections are what chaos is about; a broken protocol is a finding. */
  async #tolerant(action: Promise<void>): Promise<void> {
    try {
      await action;
    } catch (error) {
      if (isCohortError(error, "FRAME_INVALID") || isCohortError(error, "DEADLINE") || !isCohortError(error))
        this.problems.push(String(error));
    }
  }

  async #reconnect(): Promise<void> {
    this.#vm?.close();
    const vm: Vm = await this.#connect({
      output: (chunk) => this.#output(vm, chunk),
      stdinAcked: () => {},
      exit: (exit) => this.#exit(vm, exit),
      died: () => {},
      grantEnded: () => {},
      denied: () => {},
      notice: () => {},
      closed: (reason) => {
        if (this.#vm === vm) this.problems.push(`the warden closed the connection: ${reason.message}`);
      },
    });
    this.#vm = vm;
    // A hang-up between freeze and thaw leaves it frozen, and nothing starts in what is frozen.
    const frozen = (await vm.list()).filter(({ state }) => state === "frozen");
    await Promise.all(frozen.map(({ name }) => this.#tolerant(vm.thaw(name))));
  }

  #output(vm: Vm, { name, execId, stream, offset, bytes }: OutputChunk): void {
    const key = `${name}/${execId}/${stream}`;
    const known = this.#streams.get(key) ?? { bytes: [], end: 0 };
    this.#streams.set(key, known);
    if (offset > known.end) this.problems.push(`a gap in ${key}: ${known.end} to ${offset}`);
    const fresh = bytes.subarray(Math.max(0, known.end - offset));
    known.bytes.push(Buffer.from(fresh));
    known.end += fresh.length;
    if (this.#below(3) > 0) vm.ackOutput(name, execId, stream, known.end);
    else setTimeout(() => this.#vm?.ackOutput(name, execId, stream, known.end), this.#below(20));
  }

  #exit(vm: Vm, exit: ExecExit): void {
    const key = `${exit.name}/${exit.execId}`;
    const before = this.exits.get(key);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(exit)) this.problems.push(`two exits of ${key}`);
    this.exits.set(key, exit);
    for (const [stream, total] of [
      ["stdout", exit.stdoutBytes],
      ["stderr", exit.stderrBytes],
    ] as const) {
      const end = this.#streams.get(`${key}/${stream}`)?.end ?? 0;
      if (end !== total) this.problems.push(`${key} ended with ${total} bytes of ${stream}, ${end} came`);
    }
    if (this.#below(4) > 0) vm.ackExit(exit.name, exit.execId);
  }

  async #finish(): Promise<void> {
    await this.#reconnect();
    const vm = this.#vm;
    if (vm === null) return;
    const names = (await vm.list()).map(({ name }) => name);
    await Promise.all(names.map((name) => vm.destroy(name)));
    const deadline = Date.now() + 10_000;
    const missing = (): string[] => [...this.started].filter((key) => !this.exits.has(key));
    while (missing().length > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const key of missing()) this.problems.push(`no exit of ${key}`);
    for (const { name, execId } of this.exits.values()) vm.ackExit(name, execId);
    if ((await vm.list()).length > 0) this.problems.push("something is still listed");
    this.#vm = null;
    vm.close();
  }

  #below(limit: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return limit === 0 ? 0 : ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }
}
