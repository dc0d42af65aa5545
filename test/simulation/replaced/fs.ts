/** Stands in for node:fs in what is simulated: the same files, without waiting. */
import { constants } from "node:fs";
import { computer } from "../machine/computer.ts";
import type { FileNode, Node } from "../machine/file-system.ts";
import { openFlags } from "../machine/open-file.ts";

export { constants };
// What is not replaced finds nothing: no such path exists outside the simulation.
export * from "node:fs";

/** By descriptor. */
const opened = new Map<number, { readonly path: string; readonly node: Node }>();
let nextDescriptor = 1000;

function fileOf(descriptor: number): { readonly path: string; readonly node: FileNode } {
  const found = opened.get(descriptor);
  if (found === undefined || found.node.type === "directory") throw new Error(`EBADF: ${descriptor}`);
  return { path: found.path, node: found.node };
}

export function existsSync(path: string): boolean {
  return computer().files.find(path) !== undefined;
}

export function realpathSync(path: string): string {
  return path;
}

export function openSync(path: string, flags: string | number): number {
  const node = computer().files.open(path, openFlags(flags));
  const descriptor = nextDescriptor++;
  opened.set(descriptor, { path, node });
  return descriptor;
}

export function writeSync(descriptor: number, bytes: Uint8Array, offset: number, length: number, position: number): number {
  const { path, node } = fileOf(descriptor);
  computer().files.write(node, bytes.subarray(offset, offset + length), position, path);
  return length;
}

export function ftruncateSync(descriptor: number, size: number): void {
  const { path, node } = fileOf(descriptor);
  if (node.bytes.size !== size) computer().files.truncate(node, size, path);
}

export function fsyncSync(descriptor: number): void {
  const found = opened.get(descriptor);
  if (found !== undefined) computer().files.sync(found.node, found.path);
}

export function fdatasyncSync(descriptor: number): void {
  fsyncSync(descriptor);
}

export function mkdirSync(path: string, options: { readonly recursive?: boolean } = {}): void {
  computer().files.makeDirectory(path, options.recursive === true);
}

export function closeSync(descriptor: number): void {
  opened.delete(descriptor);
}

/** A simulation begins with no file open. */
export function forgetDescriptors(): void {
  opened.clear();
  nextDescriptor = 1000;
}
