/** Stands in for node:crypto in what is simulated: chance repeats, the rest is the real one. */
import { computer, isSimulated } from "../machine/computer.ts";

export * from "node:crypto";

/** When a module is loaded no simulation runs. */
function below(limit: number): number {
  return isSimulated() ? computer().below(limit) : 0;
}

export function randomInt(first: number, end?: number): number {
  return end === undefined ? below(first) : first + below(end - first);
}

export function randomBytes(count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => below(256)));
}

export function randomUUID(): string {
  const hex = randomBytes(16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}
