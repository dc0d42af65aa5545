/** A promise that knows whether anybody looked at it, so that a failure nobody looked at can be told by its scope instead of by nobody. */

export class WatchedPromise<T> extends Promise<T> {
  #seen = false;

  /** What `then` and its kin answer is an ordinary promise: whoever has it has looked. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static from<T>(promise: Promise<T>): WatchedPromise<T> {
    return new WatchedPromise<T>((resolve, reject) => {
      promise.then(resolve, reject);
    });
  }

  get seen(): boolean {
    return this.#seen;
  }

  /** Tells of a failure without looking at it; what it answers fails alike. */
  settled(failed: (error: unknown) => void): Promise<void> {
    return super.then(
      () => undefined,
      (error: unknown) => {
        failed(error);
        throw error;
      },
    );
  }

  // `await`, Promise.all and the like come through here, too.
  // oxlint-disable-next-line unicorn/no-thenable -- It is a promise.
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#seen = true;
    return super.then(fulfilled, rejected);
  }
}
