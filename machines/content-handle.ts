/** Names of what a result only previews: text that a parent may keep, pass on, and read any part of. Pure. */

/** `<run>/<index>/<attempt>`; behind it `/stdout`, `/stderr`, or `/out/<path>` of a collected file. */
export function resultHandle(run: string, index: number, attempt: number): string {
  return `${run}/${index}/${attempt}`;
}

export interface ContentName {
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly part: { readonly type: "stream"; readonly stream: "stdout" | "stderr" } | { readonly type: "file"; readonly path: string };
}

const HANDLE = /^([a-z0-9]{4,32})\/(\d{1,9})\/([1-9]\d{0,8})\/(?:(stdout|stderr)|out\/([^\0]{1,4096}))$/;

/** Null for anything else: a path leads nowhere but down. */
export function parseHandle(text: string): ContentName | null {
  const [, run, index, attempt, stream, path] = HANDLE.exec(text) ?? [];
  if (run === undefined) return null;
  const name = { run, index: Number(index), attempt: Number(attempt) };
  if (stream === "stdout" || stream === "stderr") return { ...name, part: { type: "stream", stream } };
  if (path === undefined || path.split("/").some((component) => component === "" || component === "." || component === "..")) return null;
  return { ...name, part: { type: "file", path } };
}
