/** Pure: YAML or JSON text with the position of each field. */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, visit, type Document } from "yaml";
import type { FieldPath } from "./problem.ts";

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxProblem {
  readonly position: Position;
  readonly message: string;
}

export interface TaskDocument {
  readonly data: unknown;
  readonly syntaxProblems: readonly SyntaxProblem[];
  /** Of the field, or of the nearest thing around it that stands in the file. */
  positionOf(path: FieldPath, at: "key" | "value"): Position;
}

/** `[sleep, 5]` and `VERSION: 1.10` mean the text that was written: 1.10 must not become 1.1. */
function keepText(document: Document): void {
  const asWritten = (node: unknown): void => {
    if (isScalar(node) && (typeof node.value === "number" || typeof node.value === "boolean") && node.source !== undefined)
      node.value = node.source;
  };
  visit(document, {
    Pair(_, pair) {
      const key = isScalar(pair.key) ? pair.key.value : undefined;
      if (key === "command" && isSeq(pair.value)) pair.value.items.forEach(asWritten);
      if (key === "env" && isMap(pair.value)) pair.value.items.forEach((item) => asWritten(item.value));
    },
  });
}

function startOf(node: unknown): number | null {
  return node !== null && typeof node === "object" && "range" in node && Array.isArray(node.range) && typeof node.range[0] === "number"
    ? node.range[0]
    : null;
}

function offsetOf(document: Document.Parsed, path: FieldPath, at: "key" | "value"): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part));
      if (pair === undefined) return offset;
      next = pair.value;
      const last = depth === path.length - 1;
      offset = (last && at === "key" ? startOf(pair.key) : (startOf(next) ?? startOf(pair.key))) ?? offset;
    } else if (isSeq(node) && typeof part === "number") {
      next = node.items[part];
      offset = startOf(next) ?? offset;
    } else {
      return offset;
    }
    node = next;
  }
  return offset;
}

/** More aliases than this in one file are an attempt to make it explode. */
const ALIASES_MAX = 1000;

export function parseTaskDocument(text: string): TaskDocument {
  const lines = new LineCounter();
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, version: "1.2" });
  const syntaxProblems: SyntaxProblem[] = [...document.errors, ...document.warnings].map((error) => ({
    position: place(error.pos[0]),
    message: error.message,
  }));
  let data: unknown = null;
  if (syntaxProblems.length === 0) {
    keepText(document);
    try {
      data = document.toJS({ maxAliasCount: ALIASES_MAX });
    } catch (error) {
      syntaxProblems.push({ position: place(0), message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { data, syntaxProblems, positionOf: (path, at) => place(offsetOf(document, path, at)) };
}
