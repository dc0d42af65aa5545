import { afterAll, beforeAll, expect, test } from "vitest";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { RecordedEvents } from "../vm/recorded-events.ts";
import { asPerson, wardenUnavailable, WardenProcess } from "../vm/warden-process.ts";
import { Chaos } from "./chaos.ts";
import { CodecProcess } from "./codec-process.ts";
import { codecSources, SanitizedBuild } from "./sanitized-build.ts";

const lease = { supervisorId: "chaos", freezeAfterMs: 60_000, killAfterMs: 120_000 };
const build = new SanitizedBuild();
let program = "";

beforeAll(async () => {
  program = await build.compile("codec-stub", ["codec-stub.c"], codecSources);
});
afterAll(() => build.remove());

test.each([1, 2, 3])(
  "with stand-in peers and sanitizers, seed %i: each started command has one exit and its whole output",
  async (seed) => {
    const codec = new CodecProcess(program);
    (await codec.connect()).vm.close();
    const chaos = new Chaos(seed, (events) => connectWarden(codec.socketPath, lease, events));
    await chaos.run(400);
    await codec.stop();
    expect({
      problems: chaos.problems,
      stderr: codec.stderr.replaceAll(/cohort-warden: connection closed: a newer supervisor came\n/g, ""),
    }).toEqual({ problems: [], stderr: "" });
    expect(chaos.exits.size).toBeGreaterThan(50);
  },
);

test.skipIf(wardenUnavailable !== null)(
  "with the real warden: each started command has one exit and its whole output, and nothing is left",
  async () => {
    const warden = await WardenProcess.start();
    try {
      (await warden.connect(new RecordedEvents())).close();
      const chaos = new Chaos(Math.floor(Date.now() / 86_400_000), (events) =>
        asPerson(() => connectWarden(warden.socketPath, lease, events)),
      );
      await chaos.run(800);
      expect({ seed: chaos.seed, problems: chaos.problems }).toEqual({ seed: chaos.seed, problems: [] });
      expect(chaos.exits.size).toBeGreaterThan(50);
    } finally {
      await warden.stop();
    }
  },
);
