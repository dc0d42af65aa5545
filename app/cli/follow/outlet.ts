/**
 * The one place where a followed run writes to standard output and error, task after task.
 * Owns: the queue of what is to be printed. Does not own: the descriptors, the live view, the run.
 * O1 outputs of two tasks never mix, not even within a line. O2 what was queued first is written first.
 * O3 the queue is bounded: `ready` holds its caller back. O4 a failure to read a task's output is told on stderr, and the rest goes on.
 */
import { neutraliseLine } from "../text/neutralise.ts";
import type { FinishedOutput } from "./output-order.ts";
import type { FollowedRun } from "./followed-run.ts";
import { Printer } from "./printer.ts";
import type { Sink } from "./sink.ts";

export interface OutletOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Null: no tags. */
  readonly tagOf: ((index: number, title: string) => string) | null;
  /** Around everything that is written, so that a live view can step aside. */
  readonly before: () => void;
  readonly after: () => void;
}

const QUEUE_MAX = 2000;

type Entry = { readonly type: "note"; readonly text: string } | { readonly type: "output"; readonly output: FinishedOutput };

export class Outlet {
  readonly #run: FollowedRun;
  readonly #options: OutletOptions;
  readonly #queue: Entry[] = [];
  #working: Promise<void> | null = null;
  #wake: (() => void)[] = [];

  constructor(run: FollowedRun, options: OutletOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** A line of ours, on stderr. */
  note(text: string): void {
    this.#add({ type: "note", text });
  }

  output(output: FinishedOutput): void {
    if (output.stdout === "" && output.stderr === "") return;
    this.#add({ type: "output", output });
  }

  /** Resolves when there is room for more. */
  async ready(): Promise<void> {
    while (this.#queue.length > QUEUE_MAX) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Resolves when all of it is written. */
  async drained(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  #add(entry: Entry): void {
    this.#queue.push(entry);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    // Not within the caller's turn: `#working` must be set before this ends.
    await Promise.resolve();
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) {
      this.#options.before();
      try {
        if (entry.type === "note") await this.#options.stderr.write(entry.text);
        else await this.#print(entry.output);
      } finally {
        this.#options.after();
      }
      for (const wake of this.#wake.splice(0)) wake();
    }
    this.#working = null;
  }

  async #print(output: FinishedOutput): Promise<void> {
    const { stdout, stderr, tagOf } = this.#options;
    // Nobody is there to read it; reading it back would only cost time.
    if (stdout.broken && stderr.broken) return;
    const tag = tagOf === null ? null : tagOf(output.index, output.title);
    const printers = {
      stdout: new Printer({ terminal: this.#options.stdoutIsTerminal, tag }),
      stderr: new Printer({ terminal: this.#options.stderrIsTerminal, tag }),
    };
    if (output.stdout !== null && output.stderr !== null) {
      await stdout.write(printers.stdout.push(Buffer.from(output.stdout)));
      await stdout.write(printers.stdout.end());
      await stderr.write(printers.stderr.push(Buffer.from(output.stderr)));
      await stderr.write(printers.stderr.end());
      return;
    }
    try {
      for await (const item of this.#run.logs(output.index, { attempt: output.attempt })) {
        const printer = printers[item.stream];
        await (item.stream === "stdout" ? stdout : stderr).write(printer.push(item.bytes));
        if (stdout.broken) break;
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await stderr.write(`cohort: the output of task ${output.index} cannot be read: ${neutraliseLine(message)}\n`);
    } finally {
      await stdout.write(printers.stdout.end());
      await stderr.write(printers.stderr.end());
    }
  }
}
