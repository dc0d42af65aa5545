/** What was asked: a task, and a run of tasks. The zod schemas are the boundary; sizes are bytes, times milliseconds. */
import { z } from "zod";
import { preAnswerSchema } from "./approval.ts";
import { grantModeSchema } from "./grant.ts";

const bytes = z
  .number()
  .int()
  .positive()
  .max(2 ** 46);
const durationMs = z
  .number()
  .int()
  .positive()
  .max(30 * 24 * 3_600_000);

export const mountSchema = z
  .strictObject({
    path: z.string().startsWith("/").max(4095).describe("Absolute path of a directory or file on this machine"),
    as: z
      .string()
      .regex(/^(?!\.\.?$)[^/\0]{1,127}$/, "expected one name without a slash")
      .optional()
      .describe("Name under ~/mnt in the sandbox; default: the last component of path"),
    mode: grantModeSchema.default("ro"),
  })
  .describe("A directory that the task may see");
export type Mount = z.infer<typeof mountSchema>;

export const limitsSchema = z
  .strictObject({
    memoryBytes: bytes.default(512 * 1024 ** 2),
    diskBytes: bytes.default(256 * 1024 ** 2),
    diskKind: z
      .enum(["tmpfs", "ext4"])
      .default("tmpfs")
      .describe("tmpfs: in memory, there at once; ext4: on this machine's disk, formatted fresh"),
    tmpBytes: bytes.default(64 * 1024 ** 2),
    stagedBytes: bytes.default(256 * 1024 ** 2).describe("Most bytes that each staged directory may hold beside its source"),
    diskInodes: z.number().int().min(64).max(10_000_000).default(65_536),
    pidsMax: z.number().int().min(2).max(30_000).default(256),
    cpuPermille: z.number().int().min(0).max(1_000_000).default(0).describe("1000 is one core; 0: no quota, only a fair share"),
    openFilesMax: z.number().int().min(16).max(1_048_576).default(1024),
    outputBytes: bytes.default(64 * 1024 ** 2).describe("Most bytes of stdout and stderr together; more ends the task as output-limit"),
    outBytes: bytes.default(64 * 1024 ** 2).describe("Most bytes collected from $COHORT_OUT"),
    outFiles: z.number().int().min(0).max(100_000).default(1000),
  })
  .describe("Limits of one child");
export type Limits = z.infer<typeof limitsSchema>;

export const taskSchema = z
  .strictObject({
    title: z.string().min(1).max(500),
    engine: z.literal("command").default("command"),
    command: z.array(z.string().max(131_072)).min(1).max(8000).describe("Program and arguments; no shell is involved"),
    env: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected the name of a variable: letters, digits and _"),
        z.string().max(131_072),
      )
      .default({}),
    stdin: z
      .string()
      .max(16 * 1024 ** 2)
      .optional()
      .describe("Text given to the task's standard input"),
    cwd: z.string().max(4095).optional().describe("Working directory in the sandbox, absolute or relative to ~; default ~"),
    mounts: z.array(mountSchema).max(16).default([]),
    network: z.enum(["none", "proxied"]).default("none").describe("proxied: HTTP by way of 127.0.0.1:3128, and nothing else"),
    limits: limitsSchema.prefault({}),
    timeoutMs: durationMs
      .optional()
      .describe("Wall time of one attempt, without the time, at most 24 h, for which it waits for a person's answers"),
    stuckAfterMs: durationMs
      .optional()
      .describe("Without any sign of life for so long (output, reports, use of the processor) it counts as stuck; default 2 minutes"),
    silentAfterMs: durationMs
      .optional()
      .describe("Without output or report for so long it counts as stuck although it computes; default: it may be silent for ever"),
    onStuck: z
      .enum(["tell", "cancel"])
      .optional()
      .describe("tell (the default): an event says so; cancel: it is ended, with the status stuck"),
    retries: z.number().int().min(0).max(100).default(0).describe("Further attempts after a failure"),
    idempotent: z.boolean().default(false).describe("May be run again when its outcome is unknown"),
  })
  .describe("One subtask");
export type Task = z.infer<typeof taskSchema>;
export type TaskInput = z.input<typeof taskSchema>;

export const haltSchema = z
  .strictObject({
    when: z.enum(["never", "soon", "now"]).default("never").describe("soon: start no more; now: cancel the others too"),
    failures: z.number().int().min(1).default(1).describe("after so many failed tasks"),
  })
  .describe("What failures do to the rest of the run");
export type Halt = z.infer<typeof haltSchema>;

export const RUN_TASKS_MAX = 100_000;

export const runSpecSchema = z.strictObject({
  title: z.string().min(1).max(500),
  jobs: z.number().int().min(1).max(4000).optional().describe("Children at once; default: twice the cores"),
  deadlineMs: durationMs.optional().describe("Wall time of the whole run"),
  halt: haltSchema.prefault({}),
  preAnswers: z.array(preAnswerSchema).max(100).default([]).describe("Answers to what tasks may ask for; the first that fits counts"),
  tasks: z.array(taskSchema).min(1).max(RUN_TASKS_MAX),
  /** Set by resume: index of each task in the run that it continues. */
  resumes: z.strictObject({ run: z.string(), indexes: z.array(z.number().int().min(0)) }).optional(),
});
export type RunSpec = z.infer<typeof runSpecSchema>;
export type RunSpecInput = z.input<typeof runSpecSchema>;
