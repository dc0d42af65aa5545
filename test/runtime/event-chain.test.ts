import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PreparedDefinition } from "../../runtime/actor/definition.ts";
import { open, origin, spawn, temporaryDirectory, worker } from "./fixture/opened.ts";
import { walked } from "./fixture/journal-files.ts";
import { writeOldJournal } from "./fixture/old-formats.ts";

/** A journal with events of three actors, closed. */
async function filled(): Promise<string> {
  const directory = await temporaryDirectory();
  const runtime = await open(directory);
  const refs = [await spawn(runtime, "a"), await spawn(runtime, "b"), await spawn(runtime, "c")];
  for (let amount = 0; amount < 10; amount++) for (const ref of refs) await runtime.post(ref, { type: "add", amount }, origin);
  await runtime.stop();
  return directory;
}

function damage(directory: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "journal.sqlite"));
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

/** Seqs of three events in a row from the middle. */
function middle(directory: string): readonly [number, number, number] {
  const database = new DatabaseSync(join(directory, "journal.sqlite"));
  try {
    const [one, two, three] = database.prepare("SELECT seq FROM event ORDER BY seq LIMIT 3 OFFSET 15").all();
    return [Number(one?.["seq"]), Number(two?.["seq"]), Number(three?.["seq"])];
  } finally {
    database.close();
  }
}

describe("the chain over events", () => {
  it("holds for what the runtime wrote, also after a restart, and grows with it", async () => {
    const directory = await filled();
    const runtime = await open(directory);
    const before = await walked(runtime);
    expect(before).toMatchObject({ events: 33, erased: 0, removed: 0, unlinked: 0, problems: [] });
    await runtime.post("worker:a", { type: "add", amount: 1 }, origin);
    const after = await walked(runtime);
    expect(after).toMatchObject({ events: 34, problems: [] });
    expect(after.link).not.toBe(before.link);
    const { head } = await runtime.inspect("summary", { measure: false });
    expect(head).toEqual({ seq: after.seq, link: after.link });
  });

  it.each([
    ["a fact that was changed", (seq: number) => `UPDATE event SET at_ms = at_ms + 1 WHERE seq = ${seq}`, "changed"],
    ["who caused it, changed", (seq: number) => `UPDATE event SET source = 'someone else' WHERE seq = ${seq}`, "changed"],
    ["an outcome that was changed", (seq: number) => `UPDATE event SET outcome = 'dead' WHERE seq = ${seq}`, "changed"],
    ["a hash of a state that was changed", (seq: number) => `UPDATE event SET state_hash = 'ff' WHERE seq = ${seq}`, "changed"],
    ["what it says, changed", (seq: number) => `UPDATE event SET payload = '{"type":"add","amount":99}' WHERE seq = ${seq}`, "content"],
    ["a content that was half deleted", (seq: number) => `UPDATE event SET salt = NULL WHERE seq = ${seq}`, "content"],
  ] as const)("finds %s, and names the event", async (_, sql, what) => {
    const directory = await filled();
    const [, seq] = middle(directory);
    damage(directory, sql(seq));
    const { problems } = await walked(await open(directory));
    expect(problems).toEqual([{ seq, what }]);
  });

  it("finds a row that was removed, at the row behind it", async () => {
    const directory = await filled();
    const [, removed, behind] = middle(directory);
    damage(directory, `DELETE FROM event WHERE seq = ${removed}`);
    const { problems } = await walked(await open(directory));
    expect(problems[0]).toEqual({ seq: behind, what: "changed" });
  });

  it("finds the newest rows removed, and the oldest", async () => {
    const newest = await filled();
    damage(newest, "DELETE FROM event WHERE seq > (SELECT max(seq) FROM event) - 2");
    expect((await walked(await open(newest))).problems).toMatchObject([{ what: "missing" }]);
    const oldest = await filled();
    damage(oldest, "DELETE FROM event WHERE seq = (SELECT min(seq) FROM event)");
    expect((await walked(await open(oldest))).problems[0]).toMatchObject({ what: "changed" });
  });

  it("finds two rows that changed places, and one that was put in between", async () => {
    const swapped = await filled();
    const [one, two, three] = middle(swapped);
    damage(
      swapped,
      `UPDATE event SET seq = -1 WHERE seq = ${one}; UPDATE event SET seq = ${one} WHERE seq = ${two}; UPDATE event SET seq = ${two} WHERE seq = -1`,
    );
    expect((await walked(await open(swapped))).problems.map(({ seq }) => seq)).toEqual([one, two, three]);
    const added = await filled();
    const [, , third] = middle(added);
    damage(
      added,
      `INSERT INTO event (seq, at_ms, actor, cause, type, payload, outcome) SELECT seq + 0, at_ms, actor, cause, type, payload, outcome FROM (
         SELECT (SELECT max(seq) FROM event) + 1 AS seq, at_ms, actor, cause, type, payload, outcome FROM event WHERE seq = ${third})`,
    );
    expect((await walked(await open(added))).problems).toMatchObject([{ what: "changed" }]);
  });

  it("begins behind what an older format wrote, and says how much that is", async () => {
    const directory = await temporaryDirectory();
    writeOldJournal(directory, 2, new PreparedDefinition(worker).hash);
    const runtime = await open(directory);
    await runtime.post("worker:a", { type: "add", amount: 1 }, origin);
    expect(await walked(runtime)).toMatchObject({ events: 3, unlinked: 2, problems: [] });
  });
});
