/** Paths in a collect archive: hostile bytes become a safe relative path, or are refused. */
import { isUtf8 } from "node:buffer";

export const COLLECT_PATH_BYTES_MAX = 4096;
const COMPONENT_BYTES_MAX = 255;
const DEPTH_MAX = 64;

export type CollectPath =
  | { readonly type: "safe"; readonly path: string }
  /** Harmless, but no file of that name can be made here. */
  | { readonly type: "unusable"; readonly path: string; readonly reason: "name-too-long" | "too-deep" }
  /** No honest walk of a directory yields it. */
  | { readonly type: "forged"; readonly why: string };

/**
 * Relative, without empty, `.` and `..` components and NUL. Bytes that are not UTF-8 become `\xNN`, and a backslash that already stands before
 * such an `xNN` becomes `\x5c`, so that two different names never become one.
 */
export function readCollectPath(bytes: Buffer): CollectPath {
  if (bytes.length === 0) return { type: "forged", why: "an empty path" };
  if (bytes.includes(0)) return { type: "forged", why: "a path with a NUL" };
  const path = escapePath(bytes);
  const components = path.split("/");
  for (const component of components) {
    if (component === "" || component === "." || component === "..") return { type: "forged", why: `the path ${JSON.stringify(path)}` };
  }
  if (components.length > DEPTH_MAX) return { type: "unusable", path, reason: "too-deep" };
  if (components.some((component) => Buffer.byteLength(component) > COMPONENT_BYTES_MAX))
    return { type: "unusable", path, reason: "name-too-long" };
  return { type: "safe", path };
}

/** Different bytes give different texts. */
export function escapePath(bytes: Buffer): string {
  let escaped = "";
  for (let position = 0; position < bytes.length;) {
    const width = characterWidth(bytes, position);
    if (width === 0) {
      escaped += `\\x${(bytes[position] ?? 0).toString(16).padStart(2, "0")}`;
      position += 1;
      continue;
    }
    const text = bytes.toString("utf8", position, position + width);
    escaped += text === "\\" && /^x[0-9a-f]{2}/.test(bytes.toString("latin1", position + 1, position + 4)) ? "\\x5c" : text;
    position += width;
  }
  return escaped;
}

/** Bytes of the UTF-8 character at this position; 0 when there is none. */
function characterWidth(bytes: Buffer, position: number): number {
  if ((bytes[position] ?? 0) < 0x80) return 1;
  for (let width = 2; width <= 4; width += 1) {
    if (position + width <= bytes.length && isUtf8(bytes.subarray(position, position + width))) return width;
  }
  return 0;
}
