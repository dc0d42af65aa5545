/** Lengths of the functions of a C file, told by its formatting: a body ends with a brace in the first column. */
export interface FunctionLength {
  readonly name: string;
  readonly lines: number;
}

export function functionLengths(path: string, text: string): readonly FunctionLength[] {
  const found: FunctionLength[] = [];
  let start = -1;
  let name = "";
  for (const [index, line] of text.split("\n").entries()) {
    const head = /^[a-z_][\w\s*]*?\b(\w+)\(/.exec(line);
    if (head !== null && !line.endsWith(";")) {
      name = head[1] ?? "";
      start = index;
    } else if (line === "}" && start >= 0) {
      found.push({ name: `${path}:${name}`, lines: index - start + 1 });
      start = -1;
    } else if (line.startsWith("}")) {
      start = -1;
    }
  }
  return found;
}
