/** `cohort approvals`, `approve` and `deny`: what children ask for, and the answers of a person. */
import type { ApprovalSummary } from "../../../machines/messages/approval.ts";
import { GRANT_TTL_MS_MAX, type GrantMode } from "../../../machines/messages/grant.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { ApproveOptions, Cohort } from "../../../sdk/index.ts";
import { writeNow } from "../report.ts";
import { withCohort } from "../session.ts";
import { describeTerminal, stdoutColumns } from "../terminal.ts";
import { parseDuration } from "../text/measure.ts";
import { jsonLine } from "../text/neutralise.ts";
import { answeredText, approvalLines } from "../view/permission-text.ts";

export interface ApprovalsOptions {
  readonly json?: boolean;
  readonly follow?: boolean;
  readonly all?: boolean;
}

export interface ApproveCommandOptions {
  readonly mode?: GrantMode;
  readonly ttl?: string;
  readonly uses?: number;
  readonly acceptUnprotected?: boolean;
  readonly acceptHome?: boolean;
  readonly json?: boolean;
}

export interface DenyOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

const LISTED_MAX = 1000;

/** Milliseconds; refuses what is no time, or longer than a grant lasts. */
export function ttlOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms < 1000 || ms > GRANT_TTL_MS_MAX)
    throw new CohortError("USAGE", { on: `--ttl ${text}`, hint: "a time from 1s to 30d: 5m, 2h, 1d" });
  return ms;
}

function shown(approval: ApprovalSummary): string {
  const style = describeTerminal(process.env).stdoutStyle;
  return `${approvalLines(approval, { nowMs: Date.now(), columns: stdoutColumns(), style }).join("\n")}\n`;
}

async function followAll(cohort: Cohort, json: boolean): Promise<number> {
  if (!json) writeNow(2, "cohort: waiting for what children ask; Ctrl-C ends this\n");
  for await (const approval of cohort.approvals.watch()) {
    if (json) writeNow(1, jsonLine(approval));
    else if (approval.state === "pending") writeNow(1, `${shown(approval)}\n`);
    else writeNow(1, `${approval.approval.padEnd(4)} ${approval.state}\n\n`);
  }
  return 0;
}

/** 0 also when nothing waits. */
export function approvalsCommand(options: ApprovalsOptions): Promise<number> {
  return withCohort(async (cohort) => {
    if (options.follow === true) return followAll(cohort, options.json === true);
    const approvals = await cohort.approvals.list({ answered: options.all === true, limit: LISTED_MAX });
    if (options.json === true) {
      writeNow(1, jsonLine({ approvals }));
      return 0;
    }
    if (approvals.length === 0) writeNow(2, "cohort: no child waits for an answer\n");
    else writeNow(1, approvals.map(shown).join("\n"));
    const pending = approvals.find(({ state }) => state === "pending");
    if (pending !== undefined) writeNow(2, `\ncohort: to answer: cohort approve ${pending.approval}, or cohort deny ${pending.approval}\n`);
    return 0;
  });
}

async function answerAll(
  ids: readonly string[],
  json: boolean,
  answer: (cohort: Cohort, id: string) => Promise<ApprovalSummary>,
): Promise<number> {
  return withCohort(async (cohort) => {
    for (const id of ids) {
      const approval = await answer(cohort, id);
      if (json) writeNow(1, jsonLine(approval));
      else writeNow(2, `cohort: ${answeredText(approval)}\n`);
    }
    return 0;
  });
}

export function approveCommand(ids: readonly string[], options: ApproveCommandOptions): Promise<number> {
  const { mode, ttl, uses, acceptUnprotected, acceptHome } = options;
  const answer: ApproveOptions = {
    ...(mode === undefined ? {} : { mode }),
    ...(ttl === undefined ? {} : { ttlMs: ttlOf(ttl) }),
    ...(uses === undefined ? {} : { uses }),
    acceptUnprotected: acceptUnprotected === true,
    acceptHome: acceptHome === true,
  };
  return answerAll(ids, options.json === true, (cohort, id) => cohort.approvals.approve(id, answer));
}

export function denyCommand(ids: readonly string[], options: DenyOptions): Promise<number> {
  return answerAll(ids, options.json === true, (cohort, id) => cohort.approvals.deny(id, options.reason ?? ""));
}
