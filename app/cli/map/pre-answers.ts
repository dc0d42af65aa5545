/** `--grant PATH[:mode]` and `--deny PATH`: answers to what children may ask for, given before they ask. */
import { existsSync, realpathSync } from "node:fs";
import path from "node:path";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { PreAnswer, RunSpecInput } from "../../../sdk/index.ts";
import { realDirectory } from "./mounts.ts";

export interface PreAnswerOptions {
  readonly grant?: readonly string[];
  readonly deny?: readonly string[];
}

const MODE = /^(.+):(ro|staged|rw)$/s;

function granted(request: string): PreAnswer {
  const [, written = request, mode = "ro"] = MODE.exec(request) ?? [];
  const source = realDirectory(written, process.cwd(), (reason): never => {
    throw new CohortError("USAGE", { on: `--grant ${request}: ${reason}`, hint: "PATH, or PATH:ro, PATH:staged or PATH:rw" });
  });
  return { path: source, mode: mode as PreAnswer["mode"], decision: "approve" };
}

/** Whatever is asked for there, even what does not exist. */
function denied(request: string): PreAnswer[] {
  const absolute = path.resolve(request.startsWith("~/") ? path.join(process.env["HOME"] ?? "~", request.slice(2)) : request);
  const named = [absolute];
  // Where it is a link: what it leads to, as well.
  if (existsSync(absolute)) named.push(realpathSync(absolute));
  return [...new Set(named)].map((one) => ({ path: one, mode: "ro", decision: "deny" }));
}

const depth = ({ path: one }: PreAnswer): number => (one === "/" ? 0 : one.split("/").length);

/** The first that fits counts: what is said of a narrower path comes first, and of the same path the no. */
function preAnswersOf({ grant = [], deny = [] }: PreAnswerOptions): PreAnswer[] {
  return [...deny.flatMap(denied), ...grant.map(granted)].toSorted((one, other) => depth(other) - depth(one));
}

/** Those of the command line come before those of the file. */
export function withPreAnswersOf(spec: RunSpecInput, options: PreAnswerOptions): RunSpecInput {
  const answers = preAnswersOf(options);
  return answers.length === 0 ? spec : { ...spec, preAnswers: [...answers, ...(spec.preAnswers ?? [])] };
}
