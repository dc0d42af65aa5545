/**
 * Loaded before everything else (--import): what is simulated imports these in place of the machine's own modules. So the whole of actors/ and runtime/
 * runs as it is. Time and chance that are globals are replaced in machine/globals.ts.
 */
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const url = (path: string): string => pathToFileURL(join(ROOT, path)).href;
const replacement = (name: string): string => url(`test/simulation/replaced/${name}.ts`);

/** Whose imports are replaced: a folder or a file, and what by what. */
const REPLACED: readonly { readonly within: string; readonly modules: Readonly<Record<string, string>> }[] = [
  {
    within: url("actors/"),
    modules: {
      "node:fs/promises": replacement("fs-promises"),
      "node:fs": replacement("fs"),
      "node:timers/promises": replacement("timers-promises"),
      "node:crypto": replacement("crypto"),
      "../runtime/log/runtime-log.ts": replacement("runtime-log"),
      "../runtime/runtime.ts": replacement("watched-runtime"),
      "../vm/apply-process.ts": replacement("apply-process"),
    },
  },
  // What reads /proc and /sys is about the real machine.
  { within: url("actors/machine-facts.ts"), modules: {} },
  { within: url("runtime/transcript/"), modules: { "node:fs/promises": replacement("fs-promises") } },
  { within: url("runtime/journal/journaled-files.ts"), modules: { "node:fs": replacement("fs") } },
  {
    within: url("runtime/runtime.ts"),
    modules: {
      "./journal/worker-journal.ts": replacement("worker-journal"),
      "./log/runtime-log.ts": replacement("runtime-log"),
      "node:perf_hooks": replacement("perf-hooks"),
    },
  },
];

const longestFirst = REPLACED.toSorted((left, right) => right.within.length - left.within.length);

registerHooks({
  resolve(specifier, context, next) {
    const parent = context.parentURL ?? "";
    const modules = longestFirst.find(({ within }) => parent.startsWith(within))?.modules;
    const instead = modules?.[specifier];
    return instead === undefined ? next(specifier, context) : { url: instead, shortCircuit: true, format: "module-typescript" };
  },
});
