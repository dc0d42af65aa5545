/** Whose output is written down next, when there is more than one turn of the event loop should hold. */
import { expect, test } from "vitest";
import { FairTurns, TURN_BYTES_MAX } from "../../actors/fair-turns.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("who is alone with little goes on at once", () => {
  const turns = new FairTurns();
  expect(turns.take(100)).toBeNull();
  expect(turns.take(TURN_BYTES_MAX)).toBeNull();
});

test("a flood passes a bounded amount in a turn, and each other session comes in between", async () => {
  const turns = new FairTurns();
  const passed: string[] = [];
  const end = new AbortController();
  const flood = (async () => {
    while (!end.signal.aborted) {
      await turns.take(TURN_BYTES_MAX);
      passed.push("flood");
    }
  })();
  await turn();
  const before = passed.length;
  await turn();
  const inOneTurn = passed.length - before;
  expect(inOneTurn).toBeGreaterThan(0);
  expect(inOneTurn * TURN_BYTES_MAX).toBeLessThanOrEqual(512 * 1024);
  const others = ["a", "b", "c"].map(async (name) => {
    await turns.take(10);
    passed.push(name);
  });
  await Promise.all(others);
  // Not behind more than the flood's share of two turns.
  expect(passed.length - before - inOneTurn).toBeLessThan(20);
  expect(passed.filter((name) => name !== "flood")).toEqual(["a", "b", "c"]);
  end.abort();
  await flood;
});

test("two hundred that have a window each to write leave the event loop its turns", async () => {
  const turns = new FairTurns();
  let bytes = 0;
  let mostInOneTurn = 0;
  const sessions = Array.from({ length: 200 }, async () => {
    for (let piece = 0; piece < 4; piece += 1) {
      await turns.take(TURN_BYTES_MAX);
      bytes += TURN_BYTES_MAX;
    }
  });
  const watch = (async () => {
    for (let before = 0; before < 800 * TURN_BYTES_MAX;) {
      before = bytes;
      await turn();
      mostInOneTurn = Math.max(mostInOneTurn, bytes - before);
    }
  })();
  await Promise.all([...sessions, watch]);
  expect(mostInOneTurn).toBeGreaterThan(0);
  expect(mostInOneTurn).toBeLessThanOrEqual(512 * 1024);
});
