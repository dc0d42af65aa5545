import { cpSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import type { BatchRows } from "../../runtime/journal/batch-rows.ts";
import { openStore, type JournalStore } from "../../runtime/journal/store.ts";
import type { FileWrite } from "../../runtime/contract.ts";
import { temporaryDirectory } from "./fixture/opened.ts";

interface Place {
  readonly directory: string;
  readonly filesDirectory: string;
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory();
  return { directory: join(root, "journal"), filesDirectory: join(root, "files") };
}

/** What is on the disk at this moment, as if power had gone: the copy is opened instead. */
function crashed({ directory, filesDirectory }: Place, round: number): Place {
  const root = `${directory}-after-${round}`;
  mkdirSync(root);
  cpSync(directory, join(root, "journal"), { recursive: true });
  // Nothing of the files was synced yet: none of it came through.
  return { directory: join(root, "journal"), filesDirectory: join(root, filesDirectory.slice(filesDirectory.lastIndexOf("/") + 1)) };
}

function put(store: JournalStore, sequence: number, files: readonly FileWrite[] = []): void {
  const batch: BatchRows = { sequence, tables: { projections: ["numbers", "last", String(sequence)] }, files };
  store.commit(serialize(batch), "ordinary");
  store.apply();
}

const line = (text: string, offset: number, fresh = false): FileWrite => ({ path: "run/lines", offset, bytes: Buffer.from(text), fresh });

describe("the journal's tail", () => {
  it("gives back after a crash what was committed since the last checkpoint, files included", async () => {
    const here = await place();
    const store = openStore(here);
    put(store, 1, [line("one\n", 0, true)]);
    store.checkpoint();
    put(store, 2, [line("old\n", 0, true)]);
    put(store, 3, [line("new\n", 0, true), line("more\n", 4)]);
    expect(store.get("numbers", "last")).toBe("3");
    const there = crashed(here, 1);
    store.close();
    const again = openStore(there);
    expect([again.load().sequence, again.get("numbers", "last")]).toEqual([3, "3"]);
    const file = join(there.filesDirectory, "run/lines");
    expect(readFileSync(file, "utf8")).toBe("new\nmore\n");
    expect([statSync(file).mode & 0o777, statSync(join(there.filesDirectory, "run")).mode & 0o777]).toEqual([0o600, 0o700]);
    again.close();
  });

  it("ends at a record that was torn, and at those of an earlier generation", async () => {
    const here = await place();
    const store = openStore(here);
    for (let sequence = 1; sequence <= 5; sequence++) put(store, sequence);
    store.checkpoint();
    put(store, 6);
    put(store, 7);
    const [torn, older] = [crashed(here, 1), crashed(here, 2)];
    store.close();
    const file = join(torn.directory, "journal.tail");
    const bytes = readFileSync(file);
    // The two records are the file's first; behind them stand three of the generation before.
    const second = bytes.indexOf("7", bytes.indexOf("6"));
    bytes[second] = 0x38;
    writeFileSync(file, bytes);
    const afterTorn = openStore(torn);
    expect(afterTorn.get("numbers", "last")).toBe("6");
    afterTorn.close();
    const afterOlder = openStore(older);
    expect(afterOlder.get("numbers", "last")).toBe("7");
    afterOlder.close();
  });

  it("that was cut, or is gone, is as long as it is: what the database has stays", async () => {
    const here = await place();
    const store = openStore(here);
    put(store, 1);
    store.checkpoint();
    put(store, 2);
    const there = crashed(here, 1);
    store.close();
    truncateSync(join(there.directory, "journal.tail"), 20);
    const again = openStore(there);
    expect(again.get("numbers", "last")).toBe("1");
    put(again, 3);
    const later = crashed(there, 1);
    again.close();
    const last = openStore(later);
    expect(last.get("numbers", "last")).toBe("3");
    last.close();
  });

  it("refuses to write outside of its directory, and changes nothing then", async () => {
    const here = await place();
    const store = openStore(here);
    put(store, 1);
    for (const path of ["../out", "/tmp/out", "a/../../out", "./a", ""])
      expect(() => put(store, 2, [{ path, offset: 0, bytes: Buffer.from("x"), fresh: true }])).toThrow("a batch writes to");
    expect(store.get("numbers", "last")).toBe("1");
    store.close();
  });
});
