import { spawn as start } from "node:child_process";
import { once } from "node:events";
import { mkdir, open as openFile, readdir, stat } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createMachine } from "xstate";
import type { Json } from "../../runtime/kernel/actions.ts";
import { open, origin, spawn, temporaryDirectory, worker } from "./fixture/opened.ts";

async function filled(directory: string): Promise<void> {
  const runtime = await open(directory);
  const ref = await spawn(runtime, "a");
  for (let amount = 0; amount < 20; amount++) await runtime.post(ref, { type: "add", amount }, origin);
  await runtime.stop();
}

/** All that the tables hold, but the number of the tail's generation, which each opening may raise. */
function rows(directory: string): readonly unknown[] {
  const database = new DatabaseSync(join(directory, "journal.sqlite"));
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'tail' ORDER BY name").all();
    return tables.map(({ name }) => [name, database.prepare(`SELECT * FROM "${String(name)}"`).all()]);
  } finally {
    database.close();
  }
}

describe("a journal", () => {
  it("is private: files 0600 in a directory 0700, whatever the umask and mode were", async () => {
    const directory = join(await temporaryDirectory(), "state");
    await mkdir(directory, { mode: 0o755 });
    const runtime = await open(directory);
    await spawn(runtime, "a");
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    const files = await readdir(directory);
    expect(files.toSorted()).toEqual(["journal.sqlite", "journal.sqlite-wal", "journal.tail", "runtime.log"]);
    for (const file of files) expect([file, (await stat(join(directory, file))).mode & 0o777]).toEqual([file, 0o600]);
  });

  it("belongs to one runtime: a second one is refused, in this process and in another", async () => {
    const directory = await temporaryDirectory();
    await open(directory);
    await expect(open(directory)).rejects.toMatchObject({ code: "JOURNAL_LOCKED" });
    const program = `
      import { openRuntime } from ${JSON.stringify(new URL("../../runtime/runtime.ts", import.meta.url).href)};
      await openRuntime({ directory: ${JSON.stringify(directory)}, definitions: [], effects: [] }).then(() => process.exit(0), (error) => console.log(error.code));`;
    const other = start(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    other.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    await once(other, "close");
    expect(said.trim()).toBe("JOURNAL_LOCKED");
  });

  it("of another format is refused and left alone", async () => {
    const directory = await temporaryDirectory();
    await filled(directory);
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec("PRAGMA user_version = 99");
    database.close();
    await expect(open(directory)).rejects.toMatchObject({ code: "JOURNAL_VERSION" });
  });

  it.each([
    ["is no database", (bytes: Buffer) => bytes.fill(0x41)],
    ["is a database of something else", null],
    ["has a page that was overwritten", (bytes: Buffer) => bytes.fill(0xff, 4096)],
  ] as const)("that %s is JOURNAL_CORRUPT", async (_, damage) => {
    const directory = await temporaryDirectory();
    const file = join(directory, "journal.sqlite");
    if (damage === null) {
      const database = new DatabaseSync(file);
      database.exec("CREATE TABLE other (x)");
      database.close();
    } else {
      await filled(directory);
      const handle = await openFile(file, "r+");
      const bytes = Buffer.alloc((await handle.stat()).size);
      await handle.read(bytes, 0, bytes.length, 0);
      damage(bytes);
      await handle.write(bytes, 0, bytes.length, 0);
      await handle.close();
    }
    await expect(open(directory)).rejects.toMatchObject({ code: "JOURNAL_CORRUPT" });
  });

  it("with a snapshot that is no JSON is JOURNAL_CORRUPT, naming the actor", async () => {
    const directory = await temporaryDirectory();
    await filled(directory);
    const database = new DatabaseSync(join(directory, "journal.sqlite"));
    database.exec("UPDATE actor SET snapshot = '{\"value\":'");
    database.close();
    await expect(open(directory)).rejects.toMatchObject({
      code: "JOURNAL_CORRUPT",
      message: expect.stringContaining("worker:a") as string,
    });
  });
});

describe("a definition that changed", () => {
  it.each([
    [
      "without a new version",
      { ...worker, machine: createMachine({ id: "other", initial: "x", states: { x: {} } }) },
      "its version 1 did not",
      "give it version 2 and a migration from 1; nothing was changed",
    ],
    ["to an older version than the journal's", { ...worker, version: 0 }, "this build knows 0", "use the version of Cohort that wrote it"],
    [
      "to a version without a migration",
      { ...worker, version: 3, migrations: { 1: (snapshot: Json) => snapshot } },
      "no migration of worker from version 2",
      "add the migration from version 2 to 3; nothing was changed",
    ],
    [
      "to a version whose migration throws",
      {
        ...worker,
        version: 2,
        migrations: {
          1: (): Json => {
            throw new Error("it cannot be done");
          },
        },
      },
      "worker:a: the migration of worker from version 1 failed: it cannot be done",
      "mend the migration; nothing was changed",
    ],
    [
      "to states that the snapshot does not know",
      {
        ...worker,
        version: 2,
        machine: createMachine({ initial: "x", states: { x: {} } }),
        migrations: { 1: (snapshot: Json) => snapshot },
      },
      "its state is not in version 2",
      "use the version of Cohort that wrote it",
    ],
  ])(
    "%s refuses to load while an actor of it lives, says what to do, and leaves the journal as it was",
    async (_, definition, words, hint) => {
      const directory = await temporaryDirectory();
      await filled(directory);
      const before = rows(directory);
      const opening = open(directory, { definitions: [definition] });
      await expect(opening).rejects.toMatchObject({ code: "JOURNAL_VERSION", message: expect.stringContaining(words) as string, hint });
      expect(rows(directory)).toEqual(before);
      const unharmed = await open(directory);
      expect(unharmed.stats().actors).toBe(1);
    },
  );

  it("with a migration for every step loads what they make of the snapshot", async () => {
    const directory = await temporaryDirectory();
    await filled(directory);
    const double = (snapshot: Json): Json => {
      const { context, ...rest } = snapshot as { readonly context: { readonly count: number } };
      return { ...rest, context: { ...context, count: context.count * 2 } };
    };
    const definitions = [{ ...worker, version: 3, migrations: { 1: double, 2: double } }];
    const runtime = await open(directory, { definitions });
    await runtime.post("worker:a", { type: "add", amount: 1 }, origin);
    expect(await runtime.get("workers", "worker:a")).toEqual({ count: 190 * 4 + 1, heard: [] });
    await runtime.stop();
    const again = await open(directory, { definitions });
    await again.post("worker:a", { type: "add", amount: 1 }, origin);
    expect(await again.get("workers", "worker:a")).toEqual({ count: 190 * 4 + 2, heard: [] });
  });
});
