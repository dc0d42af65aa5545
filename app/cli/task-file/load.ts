/** Reads a task file and checks it whole before anything runs. */
import { readFile } from "node:fs/promises";
import { realpathSync } from "node:fs";
import path from "node:path";
import type { RunSpecInput } from "../../../machines/messages/task.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { readAll } from "../standard-input.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { parseTaskDocument, type Position } from "./document.ts";
import { problemsOf, showPath, type FieldPath } from "./problem.ts";
import { taskFileSchema } from "./schema.ts";
import { specOf, type ResolveMount } from "./spec.ts";

export interface PlacedProblem extends Position {
  readonly field: string;
  readonly message: string;
}

const PROBLEMS_SHOWN_MAX = 20;
/** Larger than the largest run with long commands; a device or a log given by mistake ends here. */
export const TASK_FILE_BYTES_MAX = 64 * 1024 ** 2;

export class TaskFileError extends CohortError {
  readonly file: string;
  readonly problems: readonly PlacedProblem[];

  constructor(file: string, problems: readonly PlacedProblem[]) {
    const shown = problems
      .slice(0, PROBLEMS_SHOWN_MAX)
      .map(
        ({ line, column, field, message }) =>
          `\n  ${neutraliseLine(`${file}:${line}:${column}  ${field === "" ? "" : `${field}: `}${message}`)}`,
      );
    const rest = problems.length - shown.length;
    super("TASK_FILE_INVALID", {
      on: `${problems.length === 1 ? "1 problem" : `${problems.length} problems`}${shown.join("")}${rest > 0 ? `\n  … and ${rest} more` : ""}`,
      hint: "nothing was run; docs/task-file.md lists every field",
    });
    this.file = file;
    this.problems = problems;
  }
}

/** Field names that may stand at a place; they mirror schema.ts through its own shapes. */
function knownFields(at: FieldPath): readonly string[] {
  const { shape } = taskFileSchema;
  const last = at.at(-1);
  if (at.length === 0) return Object.keys(shape).filter((name) => name !== "$schema");
  if (last === "limits") return Object.keys(shape.defaults.unwrap().shape.limits.unwrap().shape);
  if (last === "halt") return ["when", "failures"];
  if (at.at(-2) === "mounts") return ["path", "as", "mode"];
  if (last === "defaults") return Object.keys(shape.defaults.unwrap().shape);
  if (at.length === 2 && at[0] === "tasks") return Object.keys(shape.tasks.element.shape);
  return [];
}

/** Throws a TaskFileError with every problem that was found. */
export function parseTaskFile(text: string, file: string, title: string, resolve: ResolveMount): RunSpecInput {
  const document = parseTaskDocument(text);
  if (document.syntaxProblems.length > 0) {
    throw new TaskFileError(
      file,
      document.syntaxProblems.map(({ position, message }) => ({ ...position, field: "", message: message.split("\n")[0] ?? "" })),
    );
  }
  const parsed = taskFileSchema.safeParse(document.data);
  const found = parsed.success
    ? specOf(parsed.data, title, resolve)
    : { spec: null, problems: problemsOf(parsed.error.issues, document.data, knownFields) };
  if (found.problems.length > 0 || found.spec === null) {
    const placed = found.problems.map((problem) => ({
      ...document.positionOf(problem.path, problem.at),
      field: showPath(problem.path),
      message: problem.message,
    }));
    throw new TaskFileError(
      file,
      placed.toSorted((left, right) => left.line - right.line || left.column - right.column),
    );
  }
  return found.spec;
}

/** Paths are relative to the directory of the file. */
export function resolverFor(directory: string, home: string | undefined): ResolveMount {
  return (written, mayBeAbsent = false) => {
    const absolute = path.resolve(
      directory,
      written === "~" || written.startsWith("~/") ? path.join(home ?? "~", written.slice(1)) : written,
    );
    try {
      return { path: realpathSync(absolute), name: path.basename(absolute), absolute };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      if (mayBeAbsent && code === "ENOENT") return { path: absolute, name: path.basename(absolute), absolute };
      throw new Error(
        code === "ENOENT"
          ? `${absolute} does not exist`
          : code === "EACCES"
            ? `${absolute}: permission denied`
            : `${absolute} cannot be reached (${code})`,
        { cause: error },
      );
    }
  };
}

/** "-" is standard input; its paths are relative to the working directory. */
export async function loadTaskFile(file: string): Promise<RunSpecInput> {
  const home = process.env["HOME"];
  if (file === "-")
    return parseTaskFile(await readAll(process.stdin, TASK_FILE_BYTES_MAX), "(standard input)", "run", resolverFor(process.cwd(), home));
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new CohortError("TASK_FILE_UNREADABLE", { on: error instanceof Error ? error.message : String(error), cause: error });
  }
  if (bytes.length > TASK_FILE_BYTES_MAX)
    throw new CohortError("TASK_FILE_INVALID", { on: `${file} has more than ${TASK_FILE_BYTES_MAX} bytes` });
  return parseTaskFile(bytes.toString("utf8"), file, path.basename(file), resolverFor(path.dirname(path.resolve(file)), home));
}
