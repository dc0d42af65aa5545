/**
 * Owns writes of batches that the disk had no room for: their bytes stand in the tail, their files get them when there is space.
 * Does not own files.
 * 1. Writes to one file keep their order: behind one that is owed all of them are.
 * 2. sync() pays, or throws what the disk says; until it returned, the tail keeps the bytes.
 */
import type { FileWrite } from "../contract.ts";
import type { BatchFiles } from "./journaled-files.ts";
import { isNoSpace } from "./no-space.ts";

export class OwedFiles implements BatchFiles {
  readonly #files: BatchFiles;
  #owed: FileWrite[] = [];

  constructor(files: BatchFiles) {
    this.#files = files;
  }

  /** Some file has not what the tail has. */
  get owes(): boolean {
    return this.#owed.length > 0;
  }

  /** Throws where the disk is full. */
  write(file: FileWrite): void {
    if (this.#owed.some(({ path }) => path === file.path)) this.#pay();
    this.#files.write(file);
  }

  /** For what stands in the tail already, or is about to whatever the disk says. */
  writeOrOwe(file: FileWrite): void {
    try {
      this.write(file);
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.#owed.push(file);
    }
  }

  sync(): void {
    this.#pay();
    this.#files.sync();
  }

  close(): void {
    this.#files.close();
  }

  #pay(): void {
    for (let file = this.#owed[0]; file !== undefined; file = this.#owed[0]) {
      this.#files.write(file);
      this.#owed.shift();
    }
  }
}
