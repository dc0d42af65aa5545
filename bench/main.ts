/** `npm run bench -- NAME [--json]`: one object with --json, else a table. The exit status says whether every goal was met. */
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { ensureSystemPackages } from "../scripts/system-packages.ts";
import { describeMachine } from "./machine.ts";
import type { BenchResult, Measurement } from "./result.ts";

const BENCHES: Readonly<Record<string, () => Promise<Measurement>>> = {
  spawn: async () => (await import("./spawn.ts")).measureSpawn(),
  escapes: async () => (await import("./escapes.ts")).measureEscapes(),
  map: async () => (await import("./map.ts")).measureMap(),
  loop: async () => (await import("./map.ts")).measureLoop(),
  density: async () => (await import("./density.ts")).measureDensity(),
  cancel: async () => (await import("./cancel.ts")).measureCancel(),
  grant: async () => (await import("./grant.ts")).measureGrant(),
  noise: async () => (await import("./noise.ts")).measureNoise(),
  relay: async () => (await import("./relay.ts")).measureRelay(),
  orchestrate: async () => (await import("./orchestrate.ts")).measureOrchestrate(),
  actors: async () => (await import("./actors.ts")).measureActors(),
  staged: async () => (await import("./staged.ts")).measureStaged(),
};
const BUILD_TIMEOUT_MS = 300_000;

function draw(result: BenchResult): string {
  const { machine } = result;
  const figures = Object.entries(result.figures).map(([name, value]) => `  ${name.padEnd(40)} ${value}`);
  const goals = result.goals.map(({ name, unit, goal, value, ok }) => `  ${ok ? "met   " : "MISSED"} ${name} ${value} (${goal} ${unit})`);
  return [
    `${result.name} on ${machine.cores} × ${machine.cpu}, ${machine.distribution}, Linux ${machine.kernel}, Node ${machine.node}, load before ${machine.loadBefore}`,
    ...figures,
    "goals",
    ...goals,
    ...(result.peers.length === 0 ? [] : ["peers", ...result.peers.map(({ name, version, how }) => `  ${name} (${version}): ${how}`)]),
    "not measured",
    ...result.notMeasured.map((text) => `  ${text}`),
  ].join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const [name = ""] = args.filter((arg) => !arg.startsWith("--"));
  const measure = BENCHES[name];
  if (measure === undefined) {
    console.error(`usage: npm run bench -- NAME [--json], where NAME is one of ${Object.keys(BENCHES).join(", ")}`);
    return 2;
  }
  if (process.geteuid?.() !== 0) {
    console.error("The benches start wardens of their own and so run as root: sudo npm run bench -- …");
    return 2;
  }
  ensureSystemPackages(["build", "bench"]);
  const root = dirname(import.meta.dirname);
  const built = spawnSync(process.execPath, ["scripts/build.ts"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    timeout: BUILD_TIMEOUT_MS,
  });
  if (built.status !== 0) return 1;
  const machine = describeMachine();
  const result: BenchResult = { name, ...(await measure()), machine };
  console.log(args.includes("--json") ? JSON.stringify(result) : draw(result));
  return result.goals.every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
