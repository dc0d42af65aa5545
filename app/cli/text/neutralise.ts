/** Pure: turns what a child wrote or named into text that a terminal may be shown. */

/**
 * C0 but \t and \n, DEL, C1, the bidirectional and invisible format controls (they reorder or hide what stands beside
 * them), tag characters, and halves of surrogate pairs. Joiners and variation selectors stay: scripts and emoji need them.
 */
const FORBIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** Colours carry no text: they are dropped. Every other escape sequence is shown, so that nobody wonders where it went. */
const COLOUR = /\x1b\[[0-9;:]{0,64}m/g;
const COLOUR_BEGUN = /\x1b(\[[0-9;:]{0,64})?$/;

const PLAIN = /^[\x20-\x7e]*$/;

function picture(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

/** Keeps line breaks and tabs. */
export function neutraliseText(text: string): string {
  return text.replace(COLOUR, "").replace(FORBIDDEN, picture);
}

/** For titles, names and messages that share a line with others: no line break, no tab. */
export function neutraliseLine(text: string): string {
  if (PLAIN.test(text)) return text;
  return neutraliseText(text).replace(/\n/g, "\u240a").replace(/\t/g, " ");
}

/** A stream of bytes in chunks that may be cut anywhere: within a character, within a colour. Holds at most one unfinished colour. */
export class OutputNeutraliser {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #held = "";

  push(bytes: Uint8Array): string {
    return this.#show(this.#decoder.decode(bytes, { stream: true }), false);
  }

  end(): string {
    return this.#show(this.#decoder.decode(), true);
  }

  #show(decoded: string, last: boolean): string {
    const text = this.#held + decoded;
    const begun = last ? null : COLOUR_BEGUN.exec(text);
    this.#held = begun === null ? "" : begun[0];
    return neutraliseText(begun === null ? text : text.slice(0, begun.index));
  }
}

/** JSON on one line; characters that could move a cursor or reorder a line are escaped, which means the same to a parser. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value).replace(FORBIDDEN, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  )}\n`;
}
