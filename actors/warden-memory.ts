/**
 * Owns the file that says in which warden the present sessions run, across lives of cohortd: its id, and the sessions that ran in one before it.
 * Does not own: sessions, connections.
 * 1. A session that may have run in an earlier warden never counts as one of the present warden's, however many lives it takes to journal its loss:
 *    else it would be started a second time.
 * 2. The file is replaced whole, and only when the warden is another one: a connection to the same one needs no space.
 */
import { readFile } from "node:fs/promises";
import { hasCode, replaceDurably } from "./content.ts";

/** Of a warden that is gone; no living one has this id. */
const GONE = "gone";

export class WardenMemory {
  readonly #path: string;
  #wardenId: string | null = null;
  #earlier: ReadonlySet<string> = new Set();

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<void> {
    try {
      const [wardenId = "", ...earlier] = (await readFile(this.#path, "utf8")).split("\n");
      this.#wardenId = wardenId;
      this.#earlier = new Set(earlier);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  /** Where a session of an earlier life may have been started; null when there never was a warden. */
  warden(session: string): string | null {
    return this.#earlier.has(session) ? GONE : this.#wardenId;
  }

  /** Before anything is started there. `elsewhere`: the sessions whose end is not journaled and that may have been started in another one. */
  async keep(wardenId: string, elsewhere: readonly string[]): Promise<void> {
    if (this.#wardenId === wardenId) return;
    await replaceDurably(this.#path, [wardenId, ...elsewhere].join("\n"));
    this.#wardenId = wardenId;
    this.#earlier = new Set(elsewhere);
  }
}
