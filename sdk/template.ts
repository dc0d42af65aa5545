/** The replacement strings of `map`, as GNU parallel has them (parallel(1), "replacement strings"). Pure. */

const PATTERN = /\{(\.|\/|\/\/|\/\.|#)?\}/g;

/** Whether any part has a replacement string that stands for the item. `{#}` alone does not, as in GNU parallel. */
export function namesItem(command: readonly string[]): boolean {
  return command.some((part) => /\{(\.|\/|\/\/|\/\.)?\}/.test(part));
}

/**
 * One command of a map: `{}` the item, `{.}` without its extension, `{/}` its last component, `{//}` its directory, `{/.}` its last component
 * without extension, `{#}` its number, from 1. If no part names the item, it is appended.
 */
export function fillTemplate(command: readonly string[], item: string, number: number): readonly string[] {
  const filled = command.map((part) => part.replace(PATTERN, (_, kind: string | undefined) => replacement(kind, item, number)));
  return namesItem(command) ? filled : [...filled, item];
}

function replacement(kind: string | undefined, item: string, number: number): string {
  switch (kind) {
    case undefined:
      return item;
    case ".":
      return withoutExtension(item);
    case "/":
      return lastComponent(item);
    case "//":
      return directoryOf(item);
    case "/.":
      return withoutExtension(lastComponent(item));
    case "#":
      return String(number);
    default:
      return item;
  }
}

// An extension begins at the last dot, unless a slash comes after it or it begins the component.
function withoutExtension(item: string): string {
  const dot = item.lastIndexOf(".");
  const slash = item.lastIndexOf("/");
  return dot > slash + 1 ? item.slice(0, dot) : item;
}

function lastComponent(item: string): string {
  return item.slice(item.lastIndexOf("/") + 1);
}

function directoryOf(item: string): string {
  const slash = item.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : item.slice(0, slash);
}
