/**
 * Owns one life of a runtime in simulated time: from the opening of its journal on a disk to its stop or its death.
 * Does not own: the disk and the environment, which outlive it.
 * 1. After a death nothing that this runtime began goes on: its timers, turns and answers are gone with its life, without a goodbye.
 * 2. Of two lives on one disk the second opens after the end of the first.
 */
import type { Runtime, RuntimeOptions } from "../contract.ts";
import { CohortError } from "../kernel/error.ts";
import type { OpenedLog, RuntimeLog } from "../log/runtime-log.ts";
import { openRuntimeOn } from "../runtime.ts";
import type { Death } from "./disk-gate.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import type { SimulatedEnvironment, SimulatedLife } from "./simulated-environment.ts";
import { SimulatedJournal, type SimulatedJournalOptions } from "./simulated-journal.ts";

export interface SimulatedRuntimeOptions
  extends Pick<RuntimeOptions, "definitions" | "effects">, Pick<SimulatedJournalOptions, "commitMs" | "readMs"> {
  readonly environment: SimulatedEnvironment;
  readonly disk: SimulatedDisk;
  /** What the runtime writes into its operational log. Default nowhere. */
  readonly log?: RuntimeLog;
}

export interface SimulatedRuntime {
  readonly runtime: Runtime;
  readonly life: SimulatedLife;
  /** The process ends at once; the disk can be opened again. */
  die(death: Death): void;
}

const nowhere = (): void => {};
const SILENT: RuntimeLog = { debug: nowhere, info: nowhere, warn: nowhere, error: nowhere };

/** Takes simulated time: let the environment settle it. Rejects with what openRuntime rejects with. */
export async function openSimulatedRuntime(options: SimulatedRuntimeOptions): Promise<SimulatedRuntime> {
  const { environment, disk, definitions, effects } = options;
  const { gate } = disk;
  const life = environment.live();
  gate.restart();
  gate.died = () => life.end();
  const journal = new SimulatedJournal({ ...options, environment: life });
  const log: OpenedLog = { log: options.log ?? SILENT, close: nowhere };
  const runtime = await openRuntimeOn({ journal, environment: life, log }, { definitions, effects });
  const die = (death: Death): void => {
    if (life.ended) throw new CohortError("INTERNAL", { on: "this runtime is dead already" });
    gate.die(death);
  };
  return { runtime, life, die };
}
