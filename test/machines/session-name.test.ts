import { describe, expect, it } from "vitest";
import { SESSION_NAMES, scrambleCounter, sessionName } from "../../machines/session-name.ts";
import { firstAdjectives, scientists, secondAdjectives } from "../../machines/session-words.ts";

describe("session names", () => {
  it("gives every counter a name of its own until they wrap around", () => {
    const seen = new Uint8Array(SESSION_NAMES);
    for (let counter = 0; counter < SESSION_NAMES; counter += 1) seen[scrambleCounter(counter)] = 1;
    expect(seen.reduce((sum, one) => sum + one, 0)).toBe(SESSION_NAMES);
    expect(new Set(Array.from({ length: 20_000 }, (_, counter) => sessionName(counter, 1))).size).toBe(20_000);
    expect(sessionName(SESSION_NAMES + 5, 1)).toBe(sessionName(5, 1));
  });

  it("makes names that the wire takes, and that say their attempt from the second on", () => {
    for (let counter = 0; counter < 3000; counter += 1) expect(sessionName(counter, 101)).toMatch(/^[a-z]+-[a-z]+-[a-z]+-101$/);
    const longest = [firstAdjectives, secondAdjectives, scientists].reduce(
      (sum, list) => sum + Math.max(...list.map((word) => word.length)),
      0,
    );
    expect(longest + "---101".length).toBeLessThanOrEqual(62);
  });

  it("has 128 different words in each place", () => {
    for (const list of [firstAdjectives, secondAdjectives, scientists]) expect([list.length, new Set(list).size]).toEqual([128, 128]);
  });

  it("keeps the names of every journal ever written", () => {
    expect([1, 2, 3].map((counter) => sessionName(counter, counter))).toEqual([
      "merry-diligent-turing",
      "gleaming-crimson-sagan-2",
      "prime-heroic-hawking-3",
    ]);
  });
});
