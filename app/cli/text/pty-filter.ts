/**
 * A child's pty on its way to a person's terminal: full-screen programs work, what reaches beyond the screen is taken out.
 * Owns: the state of a sequence that is cut between two chunks, and which of the terminal's modes the child changed.
 * P1 no OSC, DCS, SOS, PM or APC passes: they set the clipboard and titles, and make the terminal answer with text of the child's choice.
 * P2 a line feed that does not follow a return stays one: Node's raw mode leaves ONLCR on, so it leaves as IND (ESC D).
 * P3 bytes that are held are few: introducers and parameters, never contents.
 */

type State = "ground" | "escape" | "csi" | "string" | "string-escape";

const ESC = 0x1b;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const CSI_BYTES_MAX = 64;
/** Second byte of ESC sequences that begin a string: P X ] ^ _ ; and of C1 controls in UTF-8, 0xc2 and these. */
const STRING_STARTS = new Set([0x50, 0x58, 0x5d, 0x5e, 0x5f]);
const C1_STRING_STARTS = new Set([0x90, 0x98, 0x9d, 0x9e, 0x9f]);

export class PtyFilter {
  #state: State = "ground";
  #held: number[] = [];
  #afterC2 = false;
  #afterReturn = false;
  #alternateScreen = false;

  push(bytes: Uint8Array): Uint8Array {
    const out: number[] = [];
    for (const byte of bytes) this.#byte(byte, out);
    return Uint8Array.from(out);
  }

  /** Undoes what the child may have left behind, without moving the cursor. */
  reset(): string {
    const leave = this.#alternateScreen ? "\x1b[?1049l" : "";
    return `\x18${leave}\x1b[!p\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[=0u\x1b[>4;0m`;
  }

  #byte(byte: number, out: number[]): void {
    if (this.#afterC2) {
      this.#afterC2 = false;
      if (this.#state === "string") {
        if (byte === 0x9c) this.#state = "ground";
        return;
      }
      if (C1_STRING_STARTS.has(byte)) {
        this.#state = "string";
        return;
      }
      out.push(0xc2);
    }
    switch (this.#state) {
      case "ground":
        return this.#ground(byte, out);
      case "escape":
        return this.#escape(byte, out);
      case "csi":
        return this.#csi(byte, out);
      case "string":
        if (byte === ESC) this.#state = "string-escape";
        else if (byte === 0x07 || byte === 0x18 || byte === 0x1a) this.#state = "ground";
        else if (byte === 0xc2) this.#afterC2 = true;
        return;
      case "string-escape":
        this.#state = "ground";
        if (byte === 0x5c) return;
        this.#state = "escape";
        return this.#escape(byte, out);
    }
  }

  #ground(byte: number, out: number[]): void {
    if (byte === ESC) this.#state = "escape";
    else if (byte === 0xc2) this.#afterC2 = true;
    else if (byte === NEWLINE && !this.#afterReturn) out.push(ESC, 0x44);
    else out.push(byte);
    this.#afterReturn = byte === RETURN;
  }

  #escape(byte: number, out: number[]): void {
    if (byte === ESC) return;
    if (STRING_STARTS.has(byte)) {
      this.#state = "string";
      return;
    }
    if (byte === 0x5b) {
      this.#state = "csi";
      this.#held = [];
      return;
    }
    this.#state = "ground";
    out.push(ESC, byte);
  }

  #csi(byte: number, out: number[]): void {
    if (byte === ESC) {
      this.#state = "escape";
      return;
    }
    this.#held.push(byte);
    const ends = byte >= 0x40 && byte <= 0x7e;
    if (!ends && this.#held.length < CSI_BYTES_MAX && byte >= 0x20) return;
    this.#state = "ground";
    if (!ends) return;
    const text = String.fromCharCode(...this.#held);
    const mode = /^\?([\d;]+)([hl])$/.exec(text);
    if (mode !== null && /(^|;)(47|1047|1049)(;|$)/.test(mode[1] ?? "")) this.#alternateScreen = mode[2] === "h";
    out.push(ESC, 0x5b, ...this.#held);
  }
}
