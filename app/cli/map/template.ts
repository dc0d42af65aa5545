/** Pure: the replacement strings of GNU parallel, applied to the words of a command. */
import { CohortError } from "../../../runtime/kernel/error.ts";
import { fillTemplate } from "../../../sdk/template.ts";

const REPLACEMENT = /\{(\d*)(\/\/|\/\.|\/|\.)?\}|\{(#|%)\}/g;

/** `{/.}` and the like of one item: the SDK's map gives them their meaning, so that both agree. */
function changed(item: string, change: string): string {
  return fillTemplate([`{${change}}`], item, 1)[0] ?? "";
}

/** POSIX shell quoting: what comes out is one word, whatever the item holds. */
export function shellQuote(word: string): string {
  if (word === "") return "''";
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function values(match: readonly (string | undefined)[], items: readonly string[], sequence: number): readonly string[] {
  const [text = "", position = "", change = "", special] = match;
  if (special === "#") return [String(sequence)];
  if (special === "%") throw new CohortError("USAGE", { on: "{%} (the job slot) is not supported", hint: "{#} is the number of the task" });
  if (position === "") return items.map((item) => changed(item, change));
  const item = items[Number(position) - 1];
  if (item === undefined) throw new CohortError("USAGE", { on: `${text} names input source ${position}, but there are ${items.length}` });
  return [changed(item, change)];
}

/** All replacement strings in a text; several sources are joined by a space. `sequence` counts from 1. */
export function fillText(
  template: string,
  items: readonly string[],
  sequence: number,
  quote: (word: string) => string = (word) => word,
): string {
  return template.replace(REPLACEMENT, (...match: (string | undefined)[]) =>
    values(match.slice(0, 4), items, sequence).map(quote).join(" "),
  );
}

export function hasReplacement(words: readonly string[]): boolean {
  return words.some((word) => word.search(REPLACEMENT) !== -1);
}

/**
 * The words of one task's command. A word that is one replacement string alone becomes as many words as there are sources; no shell
 * is involved. Without any replacement string the items are appended, as xargs and parallel do.
 */
export function fillCommand(command: readonly string[], items: readonly string[], sequence: number): readonly string[] {
  const template = hasReplacement(command) ? command : [...command, "{}"];
  return template.flatMap((word) => {
    const whole = [...word.matchAll(REPLACEMENT)];
    const only = whole[0];
    return whole.length === 1 && only !== undefined && only[0] === word ? values(only, items, sequence) : [fillText(word, items, sequence)];
  });
}

/** One line for `/bin/sh -c`: the command as it was written, its replacements quoted. */
export function fillShellLine(command: readonly string[], items: readonly string[], sequence: number): string {
  const template = hasReplacement(command) ? command : [...command, "{}"];
  return template.map((word) => fillText(word, items, sequence, shellQuote)).join(" ");
}
