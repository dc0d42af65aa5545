/**
 * Bugs that the simulator must find, as substitutions in the text of one file each. They are applied to a copy of the tree, never to the tree. Where
 * a text is not found any more, the code moved on: plant the same bug where its rule is kept now, or drop it with the rule.
 */
export interface PlantedBug {
  readonly name: string;
  readonly file: string;
  readonly edits: readonly { readonly find: string; readonly put: string }[];
  /** Found by one of so many seeds, from 1 on. */
  readonly seedsMax: number;
  /** What the finding must say. */
  readonly finding: RegExp;
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "an effect runs before the commit of its plan",
    file: "runtime/actor/world.ts",
    edits: [{ find: "batch.committed(() => effects.ready(effect));", put: "effects.ready(effect);" }],
    seedsMax: 20,
    finding: /runs before its plan is durable/,
  },
  {
    name: "a message is consumed a commit later than it is applied, and not marked",
    file: "runtime/actor/steps.ts",
    edits: [
      { find: "    batch.consume(id);\n", put: "    this.#parts.environment.defer(() => this.#parts.batch().consume(id));\n" },
      { find: "if (id <= (control ? actor.controlHigh : actor.inboxHigh)) return;", put: "" },
    ],
    seedsMax: 100,
    finding: /balls came|two results|the tree of|failed/,
  },
  {
    name: "a once effect that was started runs again after a crash",
    file: "runtime/actor/recovery.ts",
    edits: [{ find: 'once && state === "started") {', put: 'once && state === "started" && effect.id < 0) {' }],
    seedsMax: 200,
    finding: /the once effect .* ran 2 times/,
  },
  {
    name: "the torn end of the journal is taken for a record",
    file: "runtime/journal/tail.ts",
    edits: [{ find: "if (checksum(this.#generation, payload) !== header.readUInt32BE(4)) return;", put: "" }],
    seedsMax: 200,
    finding: /the opening failed/,
  },
  {
    name: "a commit is acknowledged before it is durable",
    file: "runtime/journal/tail.ts",
    edits: [
      {
        find: "written += this.#file.write(rest, this.#bytes + written);\n    }\n    this.#file.sync();",
        put: "written += this.#file.write(rest, this.#bytes + written);\n    }",
      },
    ],
    seedsMax: 100,
    finding: /./,
  },
  {
    name: "a cancellation is dropped while a child is being started",
    file: "machines/child.ts",
    edits: [
      {
        find: 'cancel: { target: "cancelling", actions: [hear, { type: "effect", params: ({ context }) => child.killEffect(context, true) }] },',
        put: "cancel: { actions: hear },",
      },
    ],
    seedsMax: 200,
    finding: /does not end/,
  },
  {
    name: "timers are lost at a recovery",
    file: "runtime/actor/recovery.ts",
    edits: [{ find: "  rearm(loaded, parts);\n", put: "" }],
    seedsMax: 100,
    finding: /rang 0 times|does not end|timers are left/,
  },
  {
    name: "credit is never returned: a child that writes much starves",
    file: "actors/session.ts",
    edits: [{ find: "this.#ports.ack(chunk.stream, Math.max(this.#written[chunk.stream], ackOffset));", put: "" }],
    seedsMax: 100,
    finding: /is taken while its stdout is acknowledged to/,
  },
  {
    name: "output is acknowledged to the warden before it is written down",
    file: "actors/session.ts",
    edits: [
      {
        find: "const batch = this.#takeTurn();",
        put: "const batch = this.#takeTurn();\n      for (const { chunk, ackOffset } of batch) this.#ports.ack(chunk.stream, ackOffset);",
      },
    ],
    seedsMax: 300,
    finding: /./,
  },
];
