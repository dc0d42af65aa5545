/** Stands in for node:fs/promises in what is simulated: the files of the simulated computer. */
import { constants } from "node:fs";
import { computer } from "../machine/computer.ts";
import { openFlags, OpenFile, statOf, type SimulatedStat } from "../machine/open-file.ts";

export { constants };
// What is not replaced finds nothing: no such path exists outside the simulation.
export * from "node:fs/promises";

const LOOK_MS = 0.03;
const CHANGE_MS = 0.1;
const SYNC_MS = 0.6;

export function open(path: string, flags: string | number = "r"): Promise<OpenFile> {
  const { append, ...how } = openFlags(flags);
  return computer().answered(CHANGE_MS, () => new OpenFile(path, computer().files.open(path, how), append));
}

export function readFile(path: string, encoding: BufferEncoding): Promise<string> {
  return computer().answered(CHANGE_MS, () => {
    const node = computer().files.get(path);
    if (node.type === "directory") throw new Error(`${path} is a directory`);
    return node.bytes.view().toString(encoding);
  });
}

/** Several operations of the disk: a death may come between any two. */
export async function writeFile(path: string, content: string | Uint8Array, options: { readonly flush?: boolean } = {}): Promise<void> {
  const bytes = Buffer.from(content as Uint8Array);
  const file = await open(path, "w");
  await file.write(bytes, 0, bytes.length, 0);
  if (options.flush === true) await computer().answered(SYNC_MS, () => computer().files.sync(computer().files.get(path), path));
}

export function mkdir(path: string, options: { readonly recursive?: boolean } = {}): Promise<void> {
  return computer().answered(CHANGE_MS, () => computer().files.makeDirectory(path, options.recursive === true));
}

export function rm(path: string, options: { readonly recursive?: boolean; readonly force?: boolean } = {}): Promise<void> {
  const { recursive = false, force = false } = options;
  return computer().answered(CHANGE_MS, () => computer().files.remove(path, { recursive, force }));
}

export function rename(from: string, to: string): Promise<void> {
  return computer().answered(CHANGE_MS, () => computer().files.rename(from, to));
}

export function readdir(path: string): Promise<readonly string[]> {
  return computer().answered(LOOK_MS, () => computer().files.list(path));
}

export function stat(path: string): Promise<SimulatedStat> {
  return computer().answered(LOOK_MS, () => statOf(computer().files.get(path)));
}

export function realpath(path: string): Promise<string> {
  return computer().answered(LOOK_MS, () => {
    computer().files.get(path);
    return path;
  });
}

export function access(path: string): Promise<void> {
  return computer().answered(LOOK_MS, () => void computer().files.get(path));
}

export function chmod(path: string): Promise<void> {
  return access(path);
}
