/** What happened in a simulation, as one hash of all of it and the last lines of it. */
import { crc32 } from "node:zlib";

const LINES_KEPT = 400;

export class Trace {
  /** Set by whoever owns the clock. */
  clock: () => number = () => 0;
  /** Called with each line: a person looks on. */
  print: ((line: string) => void) | null = null;
  readonly #lines: string[] = [];
  readonly #counts = new Map<string, number>();
  #hash = 0;
  #length = 0;

  /** `what` is counted; `detail` is not. */
  add(what: string, detail = ""): void {
    this.count(what);
    const line = `${this.clock().toFixed(3)} ${what}${detail === "" ? "" : ` ${detail}`}`;
    this.#hash = crc32(line, this.#hash);
    this.#length++;
    this.#lines.push(line);
    if (this.#lines.length > LINES_KEPT * 2) this.#lines.splice(0, LINES_KEPT);
    this.print?.(line);
  }

  count(what: string, times = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  get hash(): string {
    return `${this.#hash.toString(16).padStart(8, "0")}-${this.#length}`;
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  last(lines: number): readonly string[] {
    return this.#lines.slice(-lines);
  }
}
