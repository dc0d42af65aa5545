/** Pure: whose output is printed next. */
import type { TaskResult } from "../../../machines/messages/result.ts";

/** What is needed to print a finished task: its bytes where they are few and known, else they are read back from the supervisor. */
export interface FinishedOutput {
  readonly index: number;
  readonly title: string;
  readonly attempt: number;
  readonly stdout: string | null;
  readonly stderr: string | null;
}

type StreamSummary = TaskResult["stdout"];

/** The preview where it is the whole stream to the last byte; else null. U+FFFD may stand for a byte that was no UTF-8. */
export function wholePreview(stream: StreamSummary): string | null {
  if (stream.truncated || stream.preview.includes("\ufffd") || Buffer.byteLength(stream.preview) !== stream.bytes) return null;
  return stream.preview;
}

export function outputOf(result: TaskResult): FinishedOutput {
  const stdout = wholePreview(result.stdout);
  const stderr = wholePreview(result.stderr);
  const whole = stdout !== null && stderr !== null;
  return {
    index: result.index,
    title: result.title,
    attempt: result.attempt,
    stdout: whole ? stdout : null,
    stderr: whole ? stderr : null,
  };
}

/** With `keep`, outputs leave in the order of the tasks; those that wait keep their text only up to a budget. */
export class OutputOrder {
  readonly #keep: boolean;
  readonly #waiting = new Map<number, FinishedOutput>();
  #budgetChars: number;
  #next = 0;

  constructor(keep: boolean, budgetChars: number) {
    this.#keep = keep;
    this.#budgetChars = budgetChars;
  }

  /** What may be printed now that this one has finished. */
  finished(output: FinishedOutput): readonly FinishedOutput[] {
    if (!this.#keep) return [output];
    const size = (output.stdout?.length ?? 0) + (output.stderr?.length ?? 0);
    const affordable = size <= this.#budgetChars;
    if (affordable) this.#budgetChars -= size;
    this.#waiting.set(output.index, affordable ? output : { ...output, stdout: null, stderr: null });
    const ready: FinishedOutput[] = [];
    for (let next = this.#waiting.get(this.#next); next !== undefined; next = this.#waiting.get(this.#next)) {
      ready.push(next);
      this.#release(next);
      this.#next += 1;
    }
    return ready;
  }

  /** At the end of the run: tasks that never finished leave gaps, and nobody waits for them any longer. */
  rest(): readonly FinishedOutput[] {
    const rest = [...this.#waiting.values()].toSorted((left, right) => left.index - right.index);
    this.#waiting.clear();
    return rest;
  }

  #release(output: FinishedOutput): void {
    this.#waiting.delete(output.index);
    this.#budgetChars += (output.stdout?.length ?? 0) + (output.stderr?.length ?? 0);
  }
}
