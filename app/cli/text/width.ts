/** Pure: text cut or filled to a number of terminal columns. */
import stringWidth from "string-width";

const ASCII = /^[\x20-\x7e]*$/;
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

export function widthOf(text: string): number {
  return ASCII.test(text) ? text.length : stringWidth(text);
}

/** At most `columns` wide; what was cut off is marked with …. */
export function truncate(text: string, columns: number): string {
  if (columns <= 0) return "";
  if (widthOf(text) <= columns) return text;
  if (ASCII.test(text)) return `${text.slice(0, columns - 1)}…`;
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const width = stringWidth(segment);
    if (used + width > columns - 1) break;
    kept += segment;
    used += width;
  }
  return `${kept}…`;
}

/** The end of a text, at most `columns` wide. */
export function tail(text: string, columns: number): string {
  let kept = "";
  for (const { segment } of [...graphemes.segment(text)].toReversed()) {
    if (widthOf(segment + kept) > columns) break;
    kept = segment + kept;
  }
  return kept;
}

/** Exactly `columns` wide. */
export function fit(text: string, columns: number, align: "left" | "right" = "left"): string {
  const cut = truncate(text, columns);
  const filling = " ".repeat(Math.max(0, columns - widthOf(cut)));
  return align === "left" ? cut + filling : filling + cut;
}
