/** Reads the fields of one frame in order and by type; anything else than what is asked for throws FRAME_INVALID. */
import { CohortError } from "../../runtime/kernel/error.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const UINT32_MAX = 0xffff_ffff;

export class FieldReader {
  readonly #fields: readonly unknown[];
  readonly #what: string;
  #index = 0;

  constructor(fields: unknown, what: string) {
    if (!Array.isArray(fields)) throw new CohortError("FRAME_INVALID", { on: `${what} is not an array` });
    this.#fields = fields;
    this.#what = what;
  }

  get count(): number {
    return this.#fields.length;
  }

  next(): unknown {
    if (this.#index >= this.#fields.length) throw this.#bad("a field more");
    const field = this.#fields[this.#index];
    this.#index += 1;
    return field;
  }

  /** Unsigned up to 2^53−1. */
  uint(): number {
    const field = this.next();
    if (typeof field !== "number" || !Number.isSafeInteger(field) || field < 0) throw this.#bad("an unsigned integer");
    return field;
  }

  uint32(max = UINT32_MAX): number {
    const field = this.uint();
    if (field > max) throw this.#bad(`at most ${max}`);
    return field;
  }

  int(): number {
    const field = this.next();
    if (typeof field !== "number" || !Number.isSafeInteger(field)) throw this.#bad("an integer");
    return field;
  }

  string(): string {
    const field = this.next();
    if (typeof field !== "string") throw this.#bad("a string");
    return field;
  }

  name(): string {
    const field = this.string();
    if (!NAME.test(field)) throw this.#bad("a session name");
    return field;
  }

  bytes(): Uint8Array {
    const field = this.next();
    if (!(field instanceof Uint8Array)) throw this.#bad("bytes");
    return field;
  }

  bool(): boolean {
    const field = this.next();
    if (typeof field !== "boolean") throw this.#bad("a boolean");
    return field;
  }

  list<T>(itemsMax: number, read: (item: FieldReader) => T): readonly T[] {
    const field = this.next();
    if (!Array.isArray(field)) throw this.#bad("an array");
    if (field.length > itemsMax) throw this.#bad(`at most ${itemsMax} items`);
    return field.map((item: unknown) => {
      const reader = new FieldReader(item, this.#what);
      const value = read(reader);
      reader.end();
      return value;
    });
  }

  strings(itemsMax: number): readonly string[] {
    const field = this.next();
    if (!Array.isArray(field) || field.length > itemsMax) throw this.#bad(`at most ${itemsMax} strings`);
    return field.map((item: unknown) => {
      if (typeof item !== "string") throw this.#bad("a string");
      return item;
    });
  }

  fields(): FieldReader {
    return new FieldReader(this.next(), this.#what);
  }

  /** The number of fields is exact. */
  end(): void {
    if (this.#index !== this.#fields.length) throw this.#bad(`${this.#index} fields, not ${this.#fields.length}`);
  }

  #bad(wanted: string): CohortError {
    return new CohortError("FRAME_INVALID", { on: `${this.#what}, field ${this.#index}: wanted ${wanted}` });
  }
}
