/** Pure: the task file as people write it. docs/schema/tasks.schema.json is generated from here; docs/task-file.md explains it. */
import { z } from "zod";
import { RUN_TASKS_MAX } from "../../../machines/messages/task.ts";
import { parseCores, parseDuration, parseSize } from "../text/measure.ts";

const SIZE_MAX = 2 ** 46;
const DURATION_MS_MAX = 30 * 24 * 3_600_000;

/** A number in the file's natural unit, or text with its unit; what comes out is in the unit of the protocol. */
function measure(parse: (text: string) => number | null, expected: string, valueMax: number, pattern: RegExp, description: string) {
  return z
    .union([z.number().nonnegative(), z.string().regex(pattern, { error: `expected ${expected}` })], { error: `expected ${expected}` })
    .describe(description)
    .transform((written, context) => {
      const value = parse(String(written));
      if (value !== null && value > 0 && value <= valueMax) return value;
      context.addIssue({
        code: "custom",
        message: value === null ? `expected ${expected}` : value <= 0 ? "must be more than 0" : "is too much",
      });
      return z.NEVER;
    });
}

const size = (description: string) =>
  measure(parseSize, "a size such as 512MiB, or a number of bytes", SIZE_MAX, /^\d+(\.\d+)? ?([kKmMgGtT]([iI]?[bB])?|[bB])?$/, description);
const duration = (description: string) =>
  measure(
    parseDuration,
    "a duration such as 30s, 5m or 1h30m, or a number of seconds",
    DURATION_MS_MAX,
    /^(\d+(\.\d+)?|(\d+(\.\d+)?d)? ?(\d+(\.\d+)?h)? ?(\d+(\.\d+)?m(in)?)? ?(\d+(\.\d+)?s)? ?(\d+(\.\d+)?ms)?)$/,
    description,
  );
const count = (least: number, most: number, description: string) => z.number().int().min(least).max(most).describe(description);

/** The loader turns numbers and truth values in these places into the text that stands in the file, so `[sleep, 5]` works. */
const word = z.union([z.string().max(131_072), z.number(), z.boolean()], { error: "expected text" }).transform(String);

const limits = z
  .strictObject({
    memory: size("Most memory; default 512MiB").optional(),
    disk: size("Size of the task's home; default 256MiB").optional(),
    diskKind: z
      .enum(["tmpfs", "ext4"])
      .describe("Where the home lies: in memory (tmpfs, the default), or on this machine's disk (ext4)")
      .optional(),
    tmp: size("Size of its private /tmp; default 64MiB").optional(),
    staged: size("Most that it may change in each staged directory; default 256MiB").optional(),
    inodes: count(64, 10_000_000, "Most files and directories in its home; default 65536").optional(),
    processes: count(2, 30_000, "Most processes and threads; default 256").optional(),
    cpu: measure(
      parseCores,
      "cores such as 0.5 or 2 cores",
      1_000_000,
      /^\d+(\.\d+)? ?(cores?)?$/,
      "Cores; default: a fair share of all",
    ).optional(),
    openFiles: count(16, 1_048_576, "Most open files of a process; default 1024").optional(),
    output: size("Most bytes of stdout and stderr together, more ends the task; default 64MiB").optional(),
    collect: size("Most bytes collected from $COHORT_OUT; default 64MiB").optional(),
    files: count(0, 100_000, "Most files collected from $COHORT_OUT; default 1000").optional(),
  })
  .describe("Limits of one child");

const mountName = z.string().regex(/^(?!\.\.?$)[^/\0]{1,127}$/, { error: "expected one name without a slash" });

const mount = z.union(
  [
    z.string().min(1).max(4095).describe("Path of a directory or file, seen read-only"),
    z.strictObject({
      path: z.string().min(1).max(4095).describe("Path of a directory or file, relative to this file"),
      as: mountName.optional().describe("It appears as ~/mnt/<as>; default: the last component of the path"),
      mode: z
        .enum(["ro", "rw", "staged"])
        .default("ro")
        .describe("ro: can be read; rw: can be changed, too; staged: changes are kept aside until you apply them"),
    }),
  ],
  { error: "expected a path, or {path, as, mode}" },
);

const shared = {
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "is no variable name" }), word)
    .optional()
    .describe("Environment variables; nothing else is passed on"),
  stdin: z
    .string()
    .max(16 * 1024 ** 2)
    .optional()
    .describe("Text given to the task's standard input"),
  cwd: z.string().min(1).max(4095).optional().describe("Working directory in the sandbox, absolute or relative to its home; default: home"),
  mounts: z.array(mount).max(16).optional().describe("What the task may see of this machine"),
  network: z
    .enum(["none", "proxied"])
    .optional()
    .describe("proxied: HTTP by way of a proxy at 127.0.0.1:3128, as far as the policy allows; default none"),
  limits: limits.optional(),
  timeout: duration("Wall time of one attempt").optional(),
  stuckAfter: duration(
    "Without any sign of life (output, reports, use of the processor) for so long it counts as stuck; default 2m",
  ).optional(),
  silentAfter: duration("Without output or report for so long it counts as stuck although it computes; default: never").optional(),
  onStuck: z
    .enum(["tell", "cancel"])
    .optional()
    .describe("tell (the default): an event says so; cancel: it is ended, with the status stuck"),
  retries: count(0, 100, "Further attempts after a failure; default 0").optional(),
  idempotent: z.boolean().optional().describe("It may be run again when its outcome is unknown; default false"),
  shell: z.boolean().optional().describe("The command is one string, read by /bin/sh; default false"),
};

const defaults = z.strictObject(shared).describe("For every task that does not say otherwise; env and limits are merged, mounts are added");

const preAnswer = z
  .strictObject({
    path: z.string().min(1).max(4095).describe("Of this path and everything below it; relative to this file"),
    mode: z
      .enum(["ro", "staged", "rw"])
      .default("ro")
      .describe("approve: for what asks for this or less; deny: for this or more (ro < staged < rw); default ro"),
    decision: z.enum(["approve", "deny"]).describe("What is answered, without asking anybody"),
    ttl: duration("How long it may keep what is approved; default 30m").optional(),
  })
  .describe("An answer given before anybody asks");

const task = z
  .strictObject({
    title: z.string().min(1).max(500).optional().describe("Shown in lists; default: the command"),
    command: z
      .union([z.array(word).min(1).max(8000), z.string().min(1).max(131_072)], {
        error: "expected a list of words, or one string with shell: true",
      })
      .describe("Program and arguments as a list; or one string, with shell: true"),
    ...shared,
  })
  .describe("One subtask");

export const taskFileSchema = z
  .strictObject({
    $schema: z.string().optional().describe("For editors; ignored"),
    title: z.string().min(1).max(500).optional().describe("Shown in lists; default: the name of the file"),
    jobs: count(1, 4000, "Children at once; default: twice the cores").optional(),
    deadline: duration("Wall time of the whole run").optional(),
    halt: z
      .union(
        [
          z.enum(["never", "soon", "now"]),
          z.strictObject({
            when: z.enum(["never", "soon", "now"]).default("never").describe("soon: start no more; now: cancel the others, too"),
            failures: count(1, RUN_TASKS_MAX, "After so many failed tasks; default 1").default(1),
          }),
        ],
        { error: "expected never, soon, now, or {when, failures}" },
      )
      .optional()
      .describe("What failures do to the rest of the run"),
    preAnswers: z.array(preAnswer).max(100).optional().describe("Answers to what tasks may ask for; the first that fits counts"),
    defaults: defaults.optional(),
    tasks: z.array(task).min(1).max(RUN_TASKS_MAX),
  })
  .describe("A run of Cohort: cohort run FILE");

export type TaskFile = z.output<typeof taskFileSchema>;
export type TaskEntry = TaskFile["tasks"][number];
export type TaskDefaults = NonNullable<TaskFile["defaults"]>;

/** JSON Schema (2020-12) for editors. */
export function taskFileJsonSchema(): unknown {
  return z.toJSONSchema(taskFileSchema, { io: "input" });
}
