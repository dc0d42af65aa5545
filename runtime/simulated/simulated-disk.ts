/**
 * Owns what of a journal outlives its process: database, tail, and the files that batches wrote.
 * Does not own: the store on top of it (one for each life), time.
 */
import type { BatchFiles } from "../journal/journaled-files.ts";
import type { StoreParts } from "../journal/store.ts";
import type { TailFile } from "../journal/tail-file.ts";
import { DiskGate } from "./disk-gate.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SimulatedBytes } from "./simulated-bytes.ts";
import { SimulatedDatabase } from "./simulated-database.ts";

function joined(parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

/** Of the tail: small, because each loss of power copies it. */
const RESERVE_BYTES = 16 * 1024;

export class SimulatedDisk {
  readonly gate: DiskGate;
  readonly database: SimulatedDatabase;
  /** By path, as batches named them. */
  readonly files = new Map<string, SimulatedBytes>();
  readonly #tail = new SimulatedBytes();
  readonly #otherFiles: (() => BatchFiles) | null;

  /** `files`: where batches write instead of here, anew for each life. */
  constructor(options: { readonly seed?: number; readonly gate?: DiskGate; readonly files?: () => BatchFiles } = {}) {
    this.gate = options.gate ?? new DiskGate(new SeededRandom(options.seed ?? 1, "disk"));
    this.database = new SimulatedDatabase(this.gate);
    this.#otherFiles = options.files ?? null;
    this.gate.add(this.#tail);
  }

  /** For the store of one life. After a death, the gate is restarted first. */
  parts(monotonicMs: () => number): StoreParts {
    this.database.rollback();
    return {
      database: this.database,
      openTail: () => this.#openTail(),
      files: this.#otherFiles?.() ?? this.#batchFiles(),
      monotonicMs,
      reserveBytes: RESERVE_BYTES,
    };
  }

  dispose(): void {
    this.database.dispose();
  }

  #openTail(): TailFile {
    const { gate } = this;
    const tail = this.#tail;
    return {
      get size() {
        return tail.size;
      },
      read: (into, position) => tail.read(into, position),
      write: (parts, position) => {
        const bytes = joined(parts);
        const part = (): void => tail.write(bytes.subarray(0, gate.random.below(bytes.length)), position);
        // Within the file no space is needed.
        const pass = position + bytes.length <= tail.size ? gate.pass.bind(gate) : gate.passWrite.bind(gate);
        return pass(
          "tail.write",
          () => {
            // A write may take less than it was given.
            const taken = gate.random.chance(0.05) ? gate.random.between(1, bytes.length) : bytes.length;
            tail.write(bytes.subarray(0, taken), position);
            return taken;
          },
          part,
        );
      },
      allocate: (bytes) =>
        gate.passWrite(
          "tail.allocate",
          () => tail.truncate(Math.max(bytes, tail.size)),
          () => {},
        ),
      truncate: (bytes) => gate.pass("tail.truncate", () => tail.truncate(bytes)),
      sync: () => gate.pass("tail.sync", () => tail.sync()),
      close: () => {},
    };
  }

  #batchFiles(): BatchFiles {
    const { gate, files } = this;
    return {
      write: ({ path, offset, bytes, fresh }) => {
        let file = files.get(path);
        if (file === undefined) {
          files.set(path, (file = new SimulatedBytes()));
          gate.add(file);
        }
        const into = file;
        const write = (part: Uint8Array): void => {
          if (fresh) into.truncate(0);
          into.write(part, offset);
        };
        gate.passWrite(
          "files.write",
          () => write(bytes),
          () => write(bytes.subarray(0, gate.random.below(bytes.length + 1))),
        );
      },
      sync: () =>
        gate.pass("files.sync", () => {
          for (const file of files.values()) file.sync();
        }),
      close: () => {},
    };
  }
}
