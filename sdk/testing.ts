/**
 * Tests of your actors, in vitest, node:test or anything else: the real runtime on simulated time and a simulated disk, so that nothing waits, a crash is a call, and
 * the same seed gives the same test. docs/sdk.md has a whole one.
 */
export { testActors, TestActors, type TestActorsOptions, type TestClock, type TestedEvent } from "./testing/test-actors.ts";
export { killEverywhere } from "./testing/kill-everywhere.ts";
export { simulatedTasks, type SimulatedEnd } from "./testing/simulated-tasks.ts";
export type { JournaledEffect } from "./testing/planned-effects.ts";
