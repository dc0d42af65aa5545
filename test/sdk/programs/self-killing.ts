/**
 * A durable program for a confined child: its journal lies in its home. Killed by itself with -9 in the middle the first time, it goes on the second time.
 * Says what its effects did, and how its actor ended.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setup } from "xstate";
import { z } from "zod";
import { actions, defineActor, defineEffect, openActors, type Heard } from "../../../sdk/actors.ts";

const input = z.strictObject({});
const events = z.strictObject({ type: z.literal("go") });
const note = defineEffect({
  name: "note",
  safety: "once",
  params: z.strictObject({ word: z.string() }),
  run: async ({ word }) => {
    appendFileSync(join(homedir(), "notes"), `${word}\n`);
    if (word === "second" && readFileSync(join(homedir(), "notes"), "utf8") === "first\nsecond\n") process.kill(process.pid, "SIGKILL");
    return Promise.resolve({ type: "noted" });
  },
});
const house = setup({
  types: { context: {}, events: {} as Heard<typeof events> | { readonly type: "noted"; readonly at: number }, input: {} },
  actions,
});
const machine = house.createMachine({
  context: {},
  initial: "first",
  states: {
    first: { entry: { type: "effect", params: note.plan("1", { word: "first" }) }, on: { noted: "second" } },
    second: { entry: { type: "effect", params: note.plan("2", { word: "second" }) }, on: { noted: "third", effectUnknown: "unknown" } },
    unknown: { entry: { type: "effect", params: note.plan("3", { word: "unknown" }) }, on: { noted: "third" } },
    third: { type: "final" },
  },
});
const writer = defineActor({ kind: "writer", version: 1, machine, input, events });

await using system = await openActors({ directory: join(homedir(), "journal"), actors: [writer], effects: [note] });
const one = await system.start(writer, "w", {});
const { value } = await one.ended();
console.log(JSON.stringify({ created: one.created, value, notes: readFileSync(join(homedir(), "notes"), "utf8") }));
