/**
 * The bottom lines of a terminal that are drawn again and again.
 * Owns: the lines it drew last, the hidden cursor, line wrapping while it draws. Does not own: what is printed above, the content.
 * S1 what is above the region is never touched. S2 each frame is one write, over the old one: nothing is erased that is drawn again.
 * S3 behind a line that fills its row nothing is erased: with wrapping off the cursor stands on its last character.
 * S4 after close the cursor is shown, wrapping is on, and the cursor stands on an empty line.
 */
import { widthOf } from "../text/width.ts";

/** What a screen needs of process.stderr. */
export interface ScreenStream {
  readonly columns?: number;
  readonly writableNeedDrain?: boolean;
  write(text: string): unknown;
}

const SYNCHRONISED = ["\x1b[?2026h", "\x1b[?2026l"] as const;
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const WRAP_OFF = "\x1b[?7l";
const WRAP_ON = "\x1b[?7h";

const SGR = /\x1b\[[0-9;]*m/g;

export class Screen {
  readonly #stream: ScreenStream;
  #lines: readonly string[] = [];
  #columns: number;
  #hidden = false;
  #open = false;

  constructor(stream: ScreenStream) {
    this.#stream = stream;
    this.#columns = stream.columns ?? 80;
  }

  /** False: what is drawn now reaches nobody's eyes. */
  get isVisible(): boolean {
    return !this.#hidden && this.#stream.writableNeedDrain !== true;
  }

  draw(lines: readonly string[]): void {
    if (this.#hidden || this.#stream.writableNeedDrain === true) return;
    const columns = this.#stream.columns ?? 80;
    if (columns === this.#columns && lines.length === this.#lines.length && lines.every((line, at) => line === this.#lines[at])) return;
    const up = this.#rowsAbove(columns);
    // A narrower terminal has wrapped the old lines: they are erased first, as they no longer lie under the new ones.
    const start = this.#open ? "" : HIDE_CURSOR;
    const erase = columns === this.#columns ? "" : "\x1b[J";
    const body = lines.map((line) => `${line}${this.#columnsOf(line) < columns ? "\x1b[K" : ""}\n`).join("");
    this.#stream.write(`${SYNCHRONISED[0]}${start}\r${up}${erase}${WRAP_OFF}${body}${WRAP_ON}\x1b[J${SYNCHRONISED[1]}`);
    this.#open = true;
    this.#lines = lines;
    this.#columns = columns;
  }

  /** Takes the region away, so that something can be printed in its place; draws nothing until shown again. */
  hide(): void {
    if (this.#hidden) return;
    this.#hidden = true;
    if (this.#lines.length > 0) this.#stream.write(`\r${this.#rowsAbove(this.#stream.columns ?? 80)}\x1b[J`);
  }

  show(): void {
    if (!this.#hidden) return;
    const lines = this.#lines;
    this.#lines = [];
    this.#hidden = false;
    this.draw(lines);
  }

  /** Leaves nothing of the region behind. Idempotent. */
  close(): void {
    this.hide();
    if (this.#open) this.#stream.write(`${WRAP_ON}${SHOW_CURSOR}`);
    this.#open = false;
    this.#lines = [];
  }

  #columnsOf(line: string): number {
    return widthOf(line.replace(SGR, ""));
  }

  #rowsAbove(columns: number): string {
    const rows = this.#lines.reduce((sum, line) => {
      const width = columns < this.#columns ? this.#columnsOf(line) : 1;
      return sum + Math.max(1, Math.ceil(width / columns));
    }, 0);
    return rows === 0 ? "" : `\x1b[${rows}A`;
  }
}
