/** Pure: the few colours that the CLI uses itself; plain text where they are not wanted. */

export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

export function styleOf(colours: boolean): Style {
  const sgr =
    (open: number, close: number) =>
    (text: string): string =>
      colours && text !== "" ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return { bold: sgr(1, 22), dim: sgr(2, 22), red: sgr(31, 39), green: sgr(32, 39), yellow: sgr(33, 39) };
}
