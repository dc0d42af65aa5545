/** Pure: where the command ends and the items begin, as GNU parallel reads a command line. */
import { CohortError } from "../../../runtime/kernel/error.ts";

/** One input source: items from the command line, or the lines of a file ("-" is standard input). */
export type ItemSource = { readonly type: "items"; readonly items: readonly string[] } | { readonly type: "file"; readonly path: string };

export interface MapArguments {
  readonly command: readonly string[];
  /** In order; empty: items come from standard input. */
  readonly sources: readonly ItemSource[];
}

/** `::: item…` begins a source of items, `:::: file…` one source for each file. Several sources are combined, each with each. */
export function splitArguments(words: readonly string[]): MapArguments {
  const command: string[] = [];
  const sources: ItemSource[] = [];
  let items: string[] | null = null;
  let files = false;
  for (const word of words) {
    if (word === ":::") {
      items = [];
      files = false;
      sources.push({ type: "items", items });
    } else if (word === "::::") {
      items = null;
      files = true;
    } else if (word === ":::+" || word === "::::+") {
      throw new CohortError("USAGE", {
        on: `${word} (linked sources) is not supported`,
        hint: "use ::: with one item a task, or two sources that are combined",
      });
    } else if (files) {
      sources.push({ type: "file", path: word });
    } else if (items !== null) {
      items.push(word);
    } else {
      command.push(word);
    }
  }
  if (command.length === 0) {
    throw new CohortError("USAGE", { on: "no command is given", hint: "cohort map [options] -- COMMAND {} ::: items…" });
  }
  return { command, sources };
}

/** Each with each, the last source running fastest, as GNU parallel orders them. */
export function combine(sources: readonly (readonly string[])[], countMax: number): readonly (readonly string[])[] {
  const count = sources.reduce((product, items) => product * items.length, 1);
  if (count > countMax)
    throw new CohortError("USAGE", { on: `${count} tasks are more than ${countMax}`, hint: "split the items over several runs" });
  return sources.reduce<readonly (readonly string[])[]>((rows, items) => rows.flatMap((row) => items.map((item) => [...row, item])), [[]]);
}

/** Items of a text: one a line (an empty line is an empty item), or each ended by NUL. */
export function splitItems(text: string, separator: "\n" | "\0"): readonly string[] {
  if (text === "") return [];
  const items = text.split(separator);
  if (items.at(-1) === "") items.pop();
  return items;
}
