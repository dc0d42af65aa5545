import { expect, test } from "vitest";
import { ownHomeUnavailable } from "../daemon/own-home.ts";
import { seeded } from "./seeded.ts";
import { storm } from "./storm.ts";

test.skipIf(ownHomeUnavailable !== null)(
  "kill -9 of cohortd at random moments among living children: no result lost or doubled, no stream torn, nothing left",
  async () => {
    const report = await storm({ kills: 8, children: 40, watched: 4, random: seeded(4) });
    expect(report).toMatchObject({ resultsLost: 0, resultsDoubled: 0, streamsTorn: 0, leftovers: 0, problems: [] });
    expect(report.kills).toBeGreaterThanOrEqual(7);
    expect(report.reattachedMs.length).toBeGreaterThan(0);
  },
);
