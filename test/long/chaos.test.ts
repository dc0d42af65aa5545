import { expect, test } from "vitest";
import { seeded } from "../chaos/seeded.ts";
import { storm } from "../chaos/storm.ts";
import { ownHomeUnavailable } from "../daemon/own-home.ts";

test.skipIf(ownHomeUnavailable !== null)(
  "kill -9 of cohortd, some forty times among two hundred living children: no result lost or doubled, no stream torn, nothing left",
  async () => {
    const random = seeded(200);
    for (let storms = 0; storms < 2; storms += 1) {
      const report = await storm({ kills: 20, children: 200, watched: 8, random });
      expect(report).toMatchObject({ resultsLost: 0, resultsDoubled: 0, streamsTorn: 0, leftovers: 0, problems: [] });
      expect(report.kills).toBeGreaterThanOrEqual(16);
    }
  },
);
