/**
 * Owns the live subscribers of task outputs.
 * Does not own output: a subscriber that falls behind is told so, and reads the transcript.
 */
import type { OutputChunk, OutputStream } from "../vm/backend.ts";
import type { SessionId } from "./session.ts";

/** Bytes of each stream in all; null where this supervisor does not know. */
export type Totals = Readonly<Record<OutputStream, number>> | null;

/** Bytes that wait for one subscriber. */
const WAITING_BYTES_MAX = 1024 * 1024;

export class LiveSubscriber {
  #chunks: OutputChunk[] = [];
  #bytes = 0;
  #behind = false;
  #ended = false;
  #totals: Totals = null;
  #wake: (() => void) | null = null;

  push(chunk: OutputChunk): void {
    if (this.#behind) return;
    this.#bytes += chunk.bytes.length;
    if (this.#bytes > WAITING_BYTES_MAX) {
      this.#behind = true;
      this.#chunks = [];
    } else this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(totals: Totals): void {
    this.#ended = true;
    this.#totals = totals;
    this.#wake?.();
  }

  /** What came since the last call. `behind`: something is missing, which the transcript has. Empty and not ended: the signal aborted. */
  async next(
    signal: AbortSignal,
  ): Promise<{ readonly chunks: readonly OutputChunk[]; readonly behind: boolean; readonly ended: boolean; readonly totals: Totals }> {
    if (this.#chunks.length === 0 && !this.#behind && !this.#ended && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          signal.removeEventListener("abort", done);
          this.#wake = null;
          resolve();
        };
        this.#wake = done;
        signal.addEventListener("abort", done);
      });
    }
    const taken = { chunks: this.#chunks, behind: this.#behind, ended: this.#ended, totals: this.#totals };
    this.#chunks = [];
    this.#bytes = 0;
    this.#behind = false;
    return taken;
  }
}

export class LiveOutput {
  readonly #subscribers = new Map<string, Set<LiveSubscriber>>();

  subscribe(run: string, index: number, attempt: number): { readonly subscriber: LiveSubscriber; readonly leave: () => void } {
    const key = `${run}/${index}/${attempt}`;
    const subscriber = new LiveSubscriber();
    const all = this.#subscribers.get(key) ?? new Set<LiveSubscriber>();
    this.#subscribers.set(key, all);
    all.add(subscriber);
    const leave = (): void => {
      all.delete(subscriber);
      if (all.size === 0) this.#subscribers.delete(key);
    };
    return { subscriber, leave };
  }

  publish({ run, index, attempt }: SessionId, chunk: OutputChunk): void {
    for (const subscriber of this.#subscribers.get(`${run}/${index}/${attempt}`) ?? []) subscriber.push(chunk);
  }

  /** No more output of this attempt will come. */
  end({ run, index, attempt }: SessionId, totals: Totals): void {
    for (const subscriber of this.#subscribers.get(`${run}/${index}/${attempt}`) ?? []) subscriber.end(totals);
  }
}
