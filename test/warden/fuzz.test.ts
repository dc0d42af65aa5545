import { execFile } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { frameSources, SanitizedBuild } from "./sanitized-build.ts";

const FUZZ_TIMEOUT_MS = 60_000;
const CANARY = ["-DCOHORT_FUZZ_CANARY"];
const build = new SanitizedBuild();
let frames = "";
let streams = "";
let brokenFrames = "";
let brokenStreams = "";

beforeAll(async () => {
  [frames, streams, brokenFrames, brokenStreams] = await Promise.all([
    build.compile("frames", ["fuzz-main.c", "fuzz-frames.c"], frameSources),
    build.compile("streams", ["fuzz-main.c", "fuzz-streams.c"], ["stream"]),
    build.compile("frames-canary", ["fuzz-main.c", "fuzz-frames.c"], frameSources, CANARY),
    build.compile("streams-canary", ["fuzz-main.c", "fuzz-streams.c"], ["stream"], CANARY),
  ]);
});

afterAll(() => build.remove());

function fuzz(program: string, seed: number, iterations: number): Promise<{ readonly failed: boolean; readonly text: string }> {
  return new Promise((resolve) => {
    execFile(program, [`${seed}`, `${iterations}`], { timeout: FUZZ_TIMEOUT_MS }, (error, stdout, stderr) => {
      resolve({ failed: error !== null, text: stdout + stderr });
    });
  });
}

// Another seed each day, so that the suite sees new inputs; the seed is in the message of a failure.
const seed = Math.floor(Date.now() / 86_400_000);

test("no mutated frame makes the decoder leave its input or break what it promises", async () => {
  expect(await fuzz(frames, seed, 1_000_000)).toEqual({ failed: false, text: `seed ${seed}: 1000000 inputs, 15 seeds, no finding\n` });
});

test("no sequence of reads, acknowledgements and reconnects loses, doubles or changes a byte of a stream", async () => {
  expect(await fuzz(streams, seed, 4000)).toEqual({ failed: false, text: `seed ${seed}: 4000 inputs, 8 seeds, no finding\n` });
});

test("the fuzzer of frames finds the bug that the canary build plants", async () => {
  const { failed, text } = await fuzz(brokenFrames, 1, 1_000_000);
  expect(failed).toBe(true);
  expect(text).toContain("heap-buffer-overflow");
});

test("the fuzzer of streams finds the bug that the canary build plants", async () => {
  const { failed, text } = await fuzz(brokenStreams, 1, 4000);
  expect(failed).toBe(true);
  expect(text).toContain("does not hold");
});
