/** Layers that a warden built with absent-layers.c leaves out when it is told to: how it is linked, and how it is told. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { layerNames } from "../../vm/wire/layers.ts";

export type Layer = (typeof layerNames)[number];

/** Never absent together with the child's uid or its lack of capabilities: what it then did would be done to the machine. */
export const machineSafety: readonly Layer[] = ["mount-ns", "pid-ns", "uts-ns", "net-ns"];

export const absentLayersSource = join(import.meta.dirname, "absent-layers.c");

/** Every function that the source wraps, and no other. */
export function absentLayersLinkFlags(): readonly string[] {
  const wrapped = [...readFileSync(absentLayersSource, "utf8").matchAll(/^\w+ __wrap_(\w+)\(.*\)$/gmu)].map(([, name]) => name ?? "");
  return [...new Set(wrapped)].map((name) => `-Wl,--wrap=${name}`);
}

/** `unchecked`: the truth check says that all is there, so that sandboxes run without what is absent. */
export function absence(layers: readonly Layer[], check: "checked" | "unchecked"): Readonly<Record<string, string>> {
  const bits = layers.reduce((sum, layer) => sum + 2 ** layerNames.indexOf(layer), 0);
  return { COHORT_ABSENT: `${bits}`, ...(check === "unchecked" ? { COHORT_UNCHECKED: "1" } : {}) };
}
