/** A supervisor as a process of its own, to be killed: takes up what it finds, starts the run unless its key is known, ends when the run has ended. */
import { readFileSync } from "node:fs";
import { openSystem } from "../../../actors/system.ts";
import { runSpecSchema } from "../../../machines/messages/task.ts";
import { connectWarden } from "../../../vm/host/warden-connection.ts";
import { asPerson } from "../../vm/warden-process.ts";

const [stateDirectory, socketPath, specPath, key] = process.argv.slice(2);
if (stateDirectory === undefined || socketPath === undefined || specPath === undefined || key === undefined)
  throw new Error("STATE SOCKET SPEC KEY");

const system = await openSystem({
  stateDirectory,
  cores: 2,
  connectVm: (events) =>
    asPerson(() => connectWarden(socketPath, { supervisorId: "killed", freezeAfterMs: 30_000, killAfterMs: 600_000 }, events)),
});
const spec = runSpecSchema.parse(JSON.parse(readFileSync(specPath, "utf8")));
const { run } = await system.startRun(spec, key, { surface: "test", device: "vitest" });
process.stdout.write(`${run}\n`);
for await (const { event } of system.watch(run, 0, AbortSignal.timeout(120_000))) if (event.type === "run-finished") break;
while (system.busy()) await new Promise((resolve) => setTimeout(resolve, 10));
await system.stop();
