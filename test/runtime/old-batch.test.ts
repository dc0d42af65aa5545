import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { serialize } from "node:v8";
import { expect, it } from "vitest";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import { openTailFile } from "../../runtime/journal/tail-file.ts";
import { JournalTail } from "../../runtime/journal/tail.ts";
import { writeOldJournal } from "./fixture/old-formats.ts";
import { open, origin, recording, temporaryDirectory, worker } from "./fixture/opened.ts";

const { kind, version, hash } = new PreparedDefinition(worker);

/** A commit of format 2, with the widths that its rows had. */
function oldBatch(sequence: number): unknown {
  const snapshot = JSON.stringify({
    value: "working",
    context: { self: "worker:a", count: 40, heard: [], createdAtMs: 0 },
    status: "active",
  });
  return {
    sequence,
    tables: {
      events: [sequence - 1, 1, "worker:a", "post", "{}", null, "add", "{}", "applied", null],
      actors: ["worker:a", kind, version, hash, "old", null, "active", 7, null, snapshot],
      effects: [sequence, "worker:a", "work", "k", "{}", 0],
      scopes: ["inner", "old", "grace", "enough"],
    },
    files: [],
  };
}

it("what an older build committed last, and no checkpoint took, is taken over with the rest", async () => {
  const directory = await temporaryDirectory();
  const file = writeOldJournal(directory, 2, hash);
  const database = new DatabaseSync(file);
  const generation = Number(database.prepare("SELECT generation FROM tail").get()?.["generation"]);
  const sequence = Number(database.prepare("SELECT value FROM sequence").get()?.["value"]) + 100;
  database.close();
  const tail = new JournalTail(openTailFile(join(directory, "journal.tail")), generation, 0);
  tail.append(serialize(oldBatch(sequence)), "ordinary");
  tail.close();

  const work = recording("work");
  const runtime = await open(directory, { effects: [work.definition] });
  await runtime.post("worker:a", { type: "add", amount: 2 }, origin);
  expect(await runtime.get("workers", "worker:a")).toMatchObject({ count: 42 });
  expect(work.ran).toEqual(["k"]);
  await runtime.spawn("worker:late", { self: "worker:late" }, { origin, scope: "inner" });
  await runtime.post("worker:late", { type: "nowhere" }, origin);
  expect((await runtime.readLog("heard:worker:late", 0, 10)).map(({ value }) => (value as { type: string }).type)).toEqual(["cancel"]);
  await runtime.stop();
  const rows = new DatabaseSync(file);
  expect({ ...rows.prepare("SELECT restart, incarnation, inbox_high, control_high FROM actor WHERE ref = 'worker:a'").get() }).toEqual({
    restart: "temporary",
    incarnation: 1,
    inbox_high: 7,
    control_high: 0,
  });
  rows.close();
});
