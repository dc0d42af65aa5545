/** Pure but for what it holds: one task's stream on its way to a terminal or a pipe. */
import { neutraliseLine, OutputNeutraliser } from "../text/neutralise.ts";

export interface PrinterOptions {
  /** Neutralise: it goes to a terminal. */
  readonly terminal: boolean;
  /** Begins every line, with a tab behind it; null: lines are as they are. */
  readonly tag: string | null;
}

const NEWLINE = 0x0a;

/** Holds no line: a line of a gigabyte passes through in the pieces in which it came. */
export class Printer {
  readonly #neutraliser: OutputNeutraliser | null;
  readonly #tag: Buffer | null;
  readonly #endsLines: boolean;
  #atLineStart = true;

  constructor(options: PrinterOptions) {
    this.#neutraliser = options.terminal ? new OutputNeutraliser() : null;
    this.#tag = options.tag === null ? null : Buffer.from(`${options.terminal ? neutraliseLine(options.tag) : options.tag}\t`);
    this.#endsLines = options.terminal || options.tag !== null;
  }

  push(bytes: Uint8Array): Uint8Array {
    return this.#lines(this.#neutraliser === null ? bytes : Buffer.from(this.#neutraliser.push(bytes)));
  }

  /** What was held, and the newline that a last line lacks: on a terminal and with tags the next task begins on a line of its own. */
  end(): Uint8Array {
    const rest = this.#neutraliser === null ? new Uint8Array(0) : Buffer.from(this.#neutraliser.end());
    const shown = this.#lines(rest);
    if (this.#atLineStart || !this.#endsLines) return shown;
    this.#atLineStart = true;
    return Buffer.concat([shown, Buffer.from("\n")]);
  }

  #lines(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 0) return bytes;
    const tag = this.#tag;
    const startedLine = this.#atLineStart;
    this.#atLineStart = bytes.at(-1) === NEWLINE;
    if (tag === null) return bytes;
    const parts: Uint8Array[] = startedLine ? [tag] : [];
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at !== -1 && at < bytes.length - 1; at = bytes.indexOf(NEWLINE, at + 1)) {
      parts.push(bytes.subarray(from, at + 1), tag);
      from = at + 1;
    }
    parts.push(bytes.subarray(from));
    return Buffer.concat(parts);
  }
}
