/** Stands in for the journal's thread: the same store in this process, on the simulated disk. */
import type { BatchRows } from "../../../runtime/journal/batch-rows.ts";
import { ROW_WIDTHS } from "../../../runtime/journal/batch-rows.ts";
import { SimulatedDeath } from "../../../runtime/simulated/disk-gate.ts";
import { SimulatedJournal } from "../../../runtime/simulated/simulated-journal.ts";
import { countCovered } from "../coverage.ts";
import { computer, type Computer } from "../machine/computer.ts";

/** Cell of an effect's row that holds its key, as it was asked for. */
const KEY_CELL = 4;

class WatchedJournal extends SimulatedJournal {
  readonly #computer: Computer;

  constructor(on: Computer) {
    super({ disk: on.disk, environment: on.life, commitMs: () => on.diskMs(1), readMs: () => on.diskMs(0.1) });
    this.#computer = on;
  }

  override async load(): ReturnType<SimulatedJournal["load"]> {
    const loaded = await super.load();
    for (const effect of loaded.effects) this.#computer.planned.add(effect.asked_key);
    return loaded;
  }

  override async commit(batch: BatchRows, ...rest: unknown[]): ReturnType<SimulatedJournal["commit"]> {
    const answer = await super.commit(batch, ...(rest as [never]));
    const cells = batch.tables.effects ?? [];
    for (let start = 0; start < cells.length; start += ROW_WIDTHS.effects) this.#computer.planned.add(String(cells[start + KEY_CELL]));
    this.#computer.trace.count("commits");
    countCovered(batch, this.#computer.trace);
    return answer;
  }
}

export const WorkerJournal = {
  open: async (): Promise<SimulatedJournal> => {
    try {
      return new WatchedJournal(computer());
    } catch (error) {
      // The process died in the middle of it: it waits for nothing.
      if (error instanceof SimulatedDeath || computer().gate.dead) return new Promise<SimulatedJournal>(() => {});
      throw error;
    }
  },
};
