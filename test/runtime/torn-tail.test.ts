/** The tail damaged at every place, and the process killed at each step of a checkpoint: what was committed is there, and never a part of a batch. */
import { cpSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import type { BatchRows } from "../../runtime/journal/batch-rows.ts";
import { openStore, JournalStore } from "../../runtime/journal/store.ts";
import { JOURNAL_FORMAT } from "../../runtime/journal/schema.ts";
import { walkStart } from "../../runtime/kernel/inspection.ts";
import { DiskGate, type Death } from "../../runtime/simulated/disk-gate.ts";
import { SeededRandom } from "../../runtime/simulated/seeded-random.ts";
import { SimulatedDisk } from "../../runtime/simulated/simulated-disk.ts";
import { temporaryDirectory } from "./fixture/opened.ts";

/** Its rows contradict each other unless all of them are there. */
function put(store: JournalStore, sequence: number): void {
  const event = [sequence, 1, "worker:a", "post", null, null, "x", `{"n":${sequence}}`, "applied", null];
  const tables = { events: event, projections: ["numbers", "last", String(sequence)], logs: ["log", sequence, String(sequence)] };
  const batch: BatchRows = { format: JOURNAL_FORMAT, chance: "chance", sequence, tables, files: [] };
  store.commit(serialize(batch), "ordinary");
  store.apply();
}

/** The number of the last batch that is there; all of its parts are, and all before it. */
function last(store: JournalStore): number {
  const { sequence } = store.load();
  const log = store.readLog("log", 0, 100) as { cursor: number }[];
  const walk = store.upkeep("walk", { from: walkStart, limit: 1000 });
  expect([store.get("numbers", "last"), log.map(({ cursor }) => cursor), walk.events, walk.problems]).toEqual([
    String(sequence),
    Array.from({ length: sequence }, (_, index) => index + 1),
    sequence,
    [],
  ]);
  return sequence;
}

const HEADER_BYTES = 16;

interface Tail {
  readonly directory: string;
  /** Where the last of three records begins and ends. */
  readonly start: number;
  readonly end: number;
}

/** As a process left it that was killed behind its third commit. */
async function killed(): Promise<Tail> {
  const root = await temporaryDirectory();
  const place = { directory: join(root, "journal"), filesDirectory: join(root, "files") };
  const store = openStore(place);
  for (const sequence of [1, 2, 3]) put(store, sequence);
  const directory = join(root, "killed");
  cpSync(place.directory, directory, { recursive: true });
  store.close();
  const bytes = readFileSync(join(directory, "journal.tail"));
  const after = (at: number): number => at + HEADER_BYTES + bytes.readUInt32BE(at);
  const start = after(after(0));
  return { directory, start, end: after(start) };
}

/** Opens a copy, so that each damage meets the same journal. */
function lastOf({ directory }: Tail, round: number, damage: (tail: string) => void): number {
  const copy = `${directory}-${round}`;
  mkdirSync(copy);
  cpSync(directory, copy, { recursive: true });
  damage(join(copy, "journal.tail"));
  const store = openStore({ directory: copy, filesDirectory: join(copy, "files") });
  try {
    return last(store);
  } finally {
    store.close();
  }
}

describe("a tail", { timeout: 60_000 }, () => {
  it("that was cut at any byte of its last record gives all before it, whole, and nothing of it", async () => {
    const tail = await killed();
    for (let at = tail.start; at < tail.end; at++) expect([at, lastOf(tail, at, (file) => truncateSync(file, at))]).toEqual([at, 2]);
    expect(lastOf(tail, tail.end, (file) => truncateSync(file, tail.end))).toBe(3);
  });

  it("in whose last record any byte was changed gives all before it, whole, and nothing of it", async () => {
    const tail = await killed();
    const whole = readFileSync(join(tail.directory, "journal.tail"));
    for (let at = tail.start; at < tail.end; at++) {
      const damage = (file: string): void => {
        const bytes = Buffer.from(whole);
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
        writeFileSync(file, bytes);
      };
      expect([at, lastOf(tail, at, damage)]).toEqual([at, 2]);
    }
  });

  it("in whose first record a byte was changed gives nothing: what stands behind is not taken for its own", async () => {
    const tail = await killed();
    const whole = readFileSync(join(tail.directory, "journal.tail"));
    const damage = (file: string): void => {
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(HEADER_BYTES + 3) ^ 1, HEADER_BYTES + 3);
      writeFileSync(file, bytes);
    };
    const copy = `${tail.directory}-first`;
    cpSync(tail.directory, copy, { recursive: true });
    damage(join(copy, "journal.tail"));
    const store = openStore({ directory: copy, filesDirectory: join(copy, "files") });
    expect([store.load().sequence, store.get("numbers", "last")]).toEqual([0, null]);
    store.close();
  });
});

describe("a checkpoint", () => {
  /** How many operations on the disk it is made of, and what the next life finds when one of them is the last. */
  function lives(
    seed: number,
    death: Death,
    place: "before" | "within" | "after",
    step: number,
  ): { readonly steps: number; readonly found: number } {
    const gate = new DiskGate(new SeededRandom(seed, "disk"));
    const disk = new SimulatedDisk({ gate });
    try {
      const store = new JournalStore(disk.parts(() => 0));
      for (let sequence = 1; sequence <= 5; sequence++) put(store, sequence);
      const before = gate.operations;
      gate.planned = { at: before + step, place, death };
      store.checkpoint();
      const steps = gate.operations - before;
      if (!gate.dead) gate.die(death);
      gate.restart();
      const again = new JournalStore(disk.parts(() => 0));
      const found = last(again);
      put(again, found + 1);
      gate.die(death);
      gate.restart();
      expect(last(new JournalStore(disk.parts(() => 0)))).toBe(found + 1);
      return { steps, found };
    } finally {
      disk.dispose();
    }
  }

  it("that is killed, or loses power, before, within or after any of its steps loses no commit and repeats none", () => {
    const { steps } = lives(1, "killed", "before", 1000);
    expect(steps).toBeGreaterThanOrEqual(3);
    for (const death of ["killed", "power"] as const)
      for (const place of ["before", "within", "after"] as const)
        for (let step = 1; step <= steps; step++)
          for (let seed = 1; seed <= 5; seed++)
            expect([death, place, step, seed, lives(seed, death, place, step).found]).toEqual([death, place, step, seed, 5]);
  });
});
