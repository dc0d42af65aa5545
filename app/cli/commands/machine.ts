/** `cohort doctor`, `cohort vm` and `cohort daemon`: the parts that everything else stands on. */
import { CohortError, isCohortError, wardenDown, wardenUp } from "../../../sdk/index.ts";
import { accountNamed, accountOf, accountWithUid, isRoot } from "../../../sdk/account.ts";
import { isListening } from "../../../sdk/listening.ts";
import { statePaths } from "../../../sdk/paths.ts";
import { withOwnPath } from "../own-program.ts";
import { writeNow } from "../report.ts";
import { chooseChild, withCohort } from "../session.ts";
import { describeTerminal, stdoutColumns } from "../terminal.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { doctorText } from "../view/doctor-text.ts";

export interface JsonOption {
  readonly json?: boolean;
}

export interface VmOptions extends JsonOption {
  readonly user?: string;
}

/** 0 nothing is missing · 1 something that is promised is missing. */
export function doctorCommand(written: string | undefined, options: JsonOption): Promise<number> {
  return withCohort(async (cohort) => {
    const child = written === undefined ? undefined : chooseChild(written, await cohort.children()).child;
    const report = await cohort.doctor(child);
    const missing = report.rows.filter((row) => row.status === "missing");
    if (options.json === true) writeNow(1, jsonLine(report));
    else {
      // Not cut to the terminal but wrapped: what to do about it stands at the end.
      writeNow(1, doctorText(report, child, stdoutColumns(), describeTerminal(process.env).stdoutStyle));
      if (missing.length > 0)
        writeNow(2, `cohort: ${missing.length} missing: ${neutraliseLine(missing.map((row) => `${row.area} ${row.check}`).join(", "))}\n`);
    }
    return missing.length > 0 ? 1 : 0;
  });
}

interface WardenNow {
  readonly user: string;
  readonly socket: string;
  readonly running: boolean;
}

/** Null: this is root, and there is nobody yet whom a warden could serve. */
async function wardenNow(user: string | undefined): Promise<WardenNow | null> {
  const account = user === undefined ? accountOf(process.env) : /^\d+$/.test(user) ? accountWithUid(Number(user)) : accountNamed(user);
  if (account === null) return null;
  const socket = statePaths(account, process.env, isRoot()).wardenSocket;
  return { user: account.name || `uid ${account.uid}`, socket, running: await isListening(socket) };
}

function wardenLine(now: WardenNow | null): string {
  if (now === null) return withOwnPath("no warden runs; root starts it: sudo cohort vm up");
  const [user, socket] = [neutraliseLine(now.user), neutraliseLine(now.socket)];
  return now.running
    ? `the warden of ${user} runs: ${socket}`
    : withOwnPath(`no warden of ${user} runs at ${socket}; root starts it: sudo cohort vm up`);
}

/** `status` ends with 1 when none runs. */
export async function vmCommand(action: "up" | "down" | "status", options: VmOptions): Promise<number> {
  const forUser = options.user === undefined ? {} : { user: options.user };
  if (action === "up") await wardenUp(forUser);
  if (action === "down") await wardenDown(forUser);
  const now = await wardenNow(options.user);
  if (options.json === true) writeNow(1, jsonLine(now ?? { user: "", socket: "", running: false }));
  else if (action === "status") writeNow(1, `${wardenLine(now)}\n`);
  else writeNow(2, `cohort: ${action === "up" ? wardenLine(now) : "the warden has ended, and every child with it"}\n`);
  return action === "status" && now?.running !== true ? 1 : 0;
}

export async function daemonCommand(action: "stop" | "status", options: JsonOption): Promise<number> {
  try {
    return await withCohort(
      async (cohort) => {
        if (action === "stop") {
          const children = await cohort.children();
          await cohort.stop();
          if (options.json === true) writeNow(1, jsonLine({ running: false }));
          else
            writeNow(
              2,
              `cohort: cohortd has ended${children.length > 0 ? `; ${children.length} children go on until the warden's lease ends, or until the next command` : ""}\n`,
            );
          return 0;
        }
        const [runs, children] = await Promise.all([cohort.runs({ limit: 1000 }), cohort.children()]);
        const live = runs.filter((run) => run.status === "running" || run.status === "cancelling").length;
        if (options.json === true) writeNow(1, jsonLine({ running: true, runs: live, children: children.length }));
        else
          writeNow(
            1,
            `cohortd runs, with ${live} ${live === 1 ? "run" : "runs"} and ${children.length} ${children.length === 1 ? "child" : "children"}\n`,
          );
        return 0;
      },
      { start: false },
    );
  } catch (error) {
    if (!(error instanceof CohortError) || !isCohortError(error, "DAEMON_UNREACHABLE")) throw error;
    if (options.json === true) writeNow(1, jsonLine({ running: false }));
    else writeNow(action === "stop" ? 2 : 1, "cohortd does not run; the next command starts it\n");
    return action === "stop" ? 0 : 1;
  }
}
