/**
 * A fan-out with a limit, as its outcomes in order of completion.
 *
 * Owns the source's iterator and what of it runs or waits to be read.
 *
 * F1 at most `limit` items run or wait to be read: a reader that is slow, or stays away, starts nothing more.
 * F2 the source is read one item ahead of what runs at most, and closed when the reader leaves.
 */

/** One item's end. */
export type Outcome<I, T> =
  | { readonly index: number; readonly item: I; readonly ok: true; readonly value: T }
  | { readonly index: number; readonly item: I; readonly ok: false; readonly error: unknown };

type Source<I> = Iterator<I> | AsyncIterator<I>;

export class FanOut<I, T> {
  readonly #source: Source<I>;
  readonly #limit: number;
  readonly #start: (item: I, index: number) => Promise<T>;
  readonly #ready: Outcome<I, T>[] = [];
  #running = 0;
  #next = 0;
  #reading = false;
  #isExhausted = false;
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => undefined;

  readonly #signal: AbortSignal;

  constructor(items: Iterable<I> | AsyncIterable<I>, limit: number, start: (item: I, index: number) => Promise<T>, signal: AbortSignal) {
    this.#source = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    this.#limit = limit;
    this.#start = start;
    this.#signal = signal;
  }

  /** Throws what the source or the start of an item throws, and the signal's reason once it aborts. For one reader. */
  async *outcomes(): AsyncGenerator<Outcome<I, T>, void> {
    const aborted = (): void => this.#wake();
    this.#signal.addEventListener("abort", aborted);
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        this.#read();
        if (this.#failure !== null) throw this.#failure.error;
        const outcome = this.#ready.shift();
        if (outcome !== undefined) {
          this.#read();
          yield outcome;
        } else if (this.#isExhausted && this.#running === 0) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.#signal.removeEventListener("abort", aborted);
      if (!this.#isExhausted) await this.#close();
    }
  }

  async #close(): Promise<void> {
    this.#isExhausted = true;
    const closed = Promise.resolve(this.#source.return?.());
    // A source that is being read closes after that read, which may never end: it is told, and not waited for. Nobody is left to hear its failure.
    if (this.#reading) closed.catch(() => undefined);
    else await closed;
  }

  /** One step of the source at a time; each that ends looks whether there is room for another. */
  #read(): void {
    if (this.#reading || this.#isExhausted || this.#failure !== null || this.#running + this.#ready.length >= this.#limit) return;
    this.#reading = true;
    this.#step().then(
      () => this.#stepped(),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#stepped();
      },
    );
  }

  #stepped(): void {
    this.#reading = false;
    this.#read();
    this.#wake();
  }

  async #step(): Promise<void> {
    const step = await this.#source.next();
    if (step.done === true) this.#isExhausted = true;
    else if (!this.#isExhausted) this.#run(step.value);
  }

  #run(item: I): void {
    const index = this.#next;
    this.#next += 1;
    const started = this.#start(item, index);
    this.#running += 1;
    started.then(
      (value) => this.#ended({ index, item, ok: true, value }),
      (error: unknown) => this.#ended({ index, item, ok: false, error }),
    );
  }

  #ended(outcome: Outcome<I, T>): void {
    this.#running -= 1;
    this.#ready.push(outcome);
    this.#wake();
  }
}
