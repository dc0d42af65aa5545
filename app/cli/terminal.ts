/** What this process's standard streams are, without touching them: process.stdout would set a pipe's mode for its other users. */
import { isatty } from "node:tty";
import { styleOf, type Style } from "./view/style.ts";

export interface Terminal {
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** A view that is drawn again and again makes sense on stderr. */
  readonly canAnimate: boolean;
  readonly stderrStyle: Style;
  readonly stdoutStyle: Style;
  /** Of stderr; Infinity for a pipe: nothing is cut there. */
  columns(): number;
  rows(): number;
}

export function describeTerminal(environment: Readonly<Record<string, string | undefined>>): Terminal {
  const stdoutIsTerminal = isatty(1);
  const stderrIsTerminal = isatty(2);
  const dumb = environment["TERM"] === "dumb";
  const unattended = (environment["CI"] ?? "") !== "" && environment["CI"] !== "false";
  const colours = (environment["NO_COLOR"] ?? "") === "" && !dumb;
  return {
    stdoutIsTerminal,
    stderrIsTerminal,
    canAnimate: stderrIsTerminal && !dumb && !unattended,
    stderrStyle: styleOf(colours && stderrIsTerminal),
    stdoutStyle: styleOf(colours && stdoutIsTerminal),
    columns: () => (stderrIsTerminal ? process.stderr.columns || 80 : Infinity),
    rows: () => (stderrIsTerminal ? process.stderr.rows || 24 : 24),
  };
}

/** Width of a table on stdout. */
export function stdoutColumns(): number {
  return isatty(1) ? process.stdout.columns || 80 : Infinity;
}
