/**
 * Owns one program in a simulated sandbox: where in its script it is, what it wrote, what of that was acknowledged.
 * Does not own: the connection (it tells its sink), the sandbox.
 * 1. It writes no further than its window beyond what was acknowledged; frozen it does nothing.
 * 2. It ends once. Its exit is told after all of its output.
 */
import type { Environment } from "../../../runtime/kernel/environment.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import type { ExecExit, ExecPlan, ExecStream } from "../../../vm/backend.ts";
import { content, type Step } from "./script.ts";

export interface Stream {
  /** Everything it ever wrote: the checkers compare. */
  all: Buffer;
  acked: number;
  /** On this connection, and on any. */
  sent: number;
  sentMost: number;
  fin: boolean;
  finAcked: boolean;
}

export type Ending = Pick<ExecExit, "cause" | "code" | "signal">;

export interface ExecSink {
  wrote(stream: ExecStream): void;
  ended(ending: Ending): void;
  stdinTaken(bytes: number): void;
  wroteFile(name: string, bytes: Buffer): void;
}

export interface ExecFacts {
  readonly plan: ExecPlan;
  readonly steps: readonly Step[];
  /** Which execution of its task this is, from 1. */
  readonly execution: number;
  readonly salt: number;
}

const SIGTERM = 15;
const CHUNK_BYTES_MAX = 16_384;

function emptyStream(): Stream {
  return { all: Buffer.alloc(0), acked: 0, sent: 0, sentMost: 0, fin: false, finAcked: false };
}

export class SimulatedExec {
  readonly facts: ExecFacts;
  readonly out: Record<ExecStream, Stream> = { stdout: emptyStream(), stderr: emptyStream(), tools: emptyStream() };
  exit: ExecExit | null = null;
  /** Sent on this connection. */
  exitSent = false;
  ending: Ending | null = null;
  stdin: Buffer = Buffer.alloc(0);
  stdinFin = false;
  toolsIn: Buffer = Buffer.alloc(0);
  readonly #environment: Environment;
  readonly #random: SeededRandom;
  readonly #sink: ExecSink;
  #at = 0;
  /** Of the present step. */
  #done = 0;
  #isDeaf = false;
  #frozen = false;
  #waiting = false;

  constructor(facts: ExecFacts, environment: Environment, random: SeededRandom, sink: ExecSink) {
    this.facts = facts;
    this.#environment = environment;
    this.#random = random;
    this.#sink = sink;
  }

  /** Something it may wait for has changed. */
  wake(): void {
    if (this.#waiting || this.#frozen || this.ending !== null) return;
    this.#later(this.#random.next() * 2);
  }

  freeze(frozen: boolean): void {
    this.#frozen = frozen;
    this.wake();
  }

  kill(signal: number): void {
    if (signal === SIGTERM && this.#isDeaf) return;
    this.end({ cause: "signaled", code: 0, signal });
  }

  end(ending: Ending): void {
    if (this.ending !== null) return;
    this.ending = ending;
    this.#sink.ended(ending);
  }

  #later(ms: number): void {
    this.#waiting = true;
    this.#environment.after(ms, () => {
      this.#waiting = false;
      if (!this.#frozen && this.ending === null) this.#step();
    });
  }

  #next(ms = 0): void {
    this.#at++;
    this.#done = 0;
    this.#later(ms);
  }

  #step(): void {
    const step = this.facts.steps[this.#at];
    if (step === undefined) return this.end({ cause: "exited", code: 0, signal: 0 });
    switch (step.type) {
      case "write":
        return this.#write(step.stream, step.bytes);
      case "sleep":
        return this.#next(step.ms);
      case "file":
        this.#sink.wroteFile(step.name, content(this.facts.salt, 0, step.bytes));
        return this.#next();
      case "exit":
        return this.end({ cause: "exited", code: step.code, signal: 0 });
      case "signal":
        return this.end({ cause: "signaled", code: 0, signal: step.signal });
      case "flaky":
        return this.facts.execution <= step.times ? this.end({ cause: "exited", code: 1, signal: 0 }) : this.#next();
      case "ask":
        return this.#ask(step.mode, step.path);
      case "deaf":
        this.#isDeaf = true;
        return this.#next();
      case "cat":
        return this.#cat();
      case "hang":
        return;
    }
  }

  #write(stream: "stdout" | "stderr", bytes: number): void {
    const left = bytes - this.#done;
    if (left <= 0) return this.#next();
    const out = this.out[stream];
    const room = this.facts.plan.windowBytes - (out.all.length - out.acked);
    // An acknowledgement wakes it.
    if (room <= 0) return;
    const part = Math.min(left, room, this.#random.between(1, CHUNK_BYTES_MAX));
    this.#put(stream, content(this.facts.salt + (stream === "stdout" ? 0 : 1), out.all.length, part));
    this.#done += part;
    this.#later(this.#random.next() * 3);
  }

  #put(stream: ExecStream, bytes: Buffer): void {
    const out = this.out[stream];
    out.all = Buffer.concat([out.all, bytes]);
    this.#sink.wrote(stream);
  }

  #cat(): void {
    const out = this.out.stdout;
    const room = this.facts.plan.windowBytes - (out.all.length - out.acked);
    const fresh = this.stdin.subarray(this.#done, this.#done + Math.max(room, 0));
    if (fresh.length > 0) {
      this.#put("stdout", Buffer.from(fresh));
      this.#done += fresh.length;
      this.#sink.stdinTaken(this.#done);
      return this.#later(1);
    }
    if (this.stdinFin && this.#done === this.stdin.length) this.#next();
  }

  /** Its id is the place of its step. */
  #ask(mode: string, path: string): void {
    if (this.#done === 0) {
      this.#done = 1;
      this.#put("tools", Buffer.from(`${JSON.stringify({ id: this.#at, ask: "directory", path, mode, why: "simulated" })}\n`));
    }
    if (this.toolsIn.toString("utf8").includes(`"id":${this.#at},`)) this.#next();
  }
}
