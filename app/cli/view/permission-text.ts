/** Pure: approvals and grants in words and lines for a person. What a child wrote is quoted, and neutralised here. */
import type { ApprovalSummary } from "../../../machines/messages/approval.ts";
import type { GrantMode, GrantSummary } from "../../../machines/messages/grant.ts";
import { formatDuration, formatSpan } from "../text/measure.ts";
import { neutraliseLine } from "../text/neutralise.ts";
import { tail, truncate, widthOf } from "../text/width.ts";
import { shortRun } from "./run-view.ts";
import type { Style } from "./style.ts";

export interface Sheet {
  readonly nowMs: number;
  /** Infinity: nothing is cut. */
  readonly columns: number;
  readonly style: Style;
}

const MODES: Readonly<Record<GrantMode, string>> = { ro: "read", staged: "change (staged)", rw: "change at once" };
const WHY_LINES_MAX = 8;

export function modeText(mode: GrantMode): string {
  return MODES[mode];
}

/** Broken at spaces where there are any; no line is wider. At most `linesMax`, the last one marked as cut. */
export function wrap(text: string, columns: number, linesMax = Infinity): readonly string[] {
  if (columns === Infinity) return [text];
  const width = Math.max(1, columns);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (widthOf(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    while (widthOf(line) > width && lines.length <= linesMax) {
      const head = truncate(line, width).slice(0, -1);
      lines.push(head);
      line = line.slice(head.length || 1);
    }
  }
  lines.push(line);
  if (lines.length <= linesMax) return lines;
  const kept = lines.slice(0, linesMax);
  return [...kept.slice(0, -1), truncate(`${kept.at(-1) ?? ""} …`, width)];
}

function riskLine({ risk }: ApprovalSummary, style: Style): string {
  const colour = { low: style.green, medium: style.yellow, high: style.red }[risk.level];
  return colour(`${risk.level} risk`);
}

/** `read  /home/ada/data`: the path is cut in its middle, where it says least. */
export function wantedLine({ mode, path }: Pick<ApprovalSummary, "mode" | "path">, columns: number): string {
  const words = `${modeText(mode)}  `;
  return words + middleCut(neutraliseLine(path), columns - words.length);
}

/** Its beginning says whose it is and its end what it is. */
export function middleCut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  const end = tail(text, Math.floor(columns * 0.6) - 1);
  return `${truncate(text, Math.max(1, columns - widthOf(end)))}${end}`;
}

function quoted(why: string): string {
  // Its own quotation marks and gaps could look like the end of its words, and lines of ours.
  const words = neutraliseLine(why).replaceAll(/[“”"]/gu, "'").replaceAll(/\s+/gu, " ").trim();
  return words === "" ? "it gave no reason" : `“${words}”`;
}

/** Four lines and more: what is asked for, by whom, in its own words, and what there is to say about it. */
export function approvalLines(approval: ApprovalSummary, sheet: Sheet): readonly string[] {
  const { style, columns, nowMs } = sheet;
  const { answer } = approval;
  const age = `${formatDuration(nowMs - approval.askedAtMs)} ago`;
  const state = approval.state === "pending" ? "" : `${approval.state}  `;
  const head = `${approval.approval.padEnd(4)} `;
  const room = columns - head.length - state.length - age.length - 2;
  const wanted = wantedLine(approval, room);
  const gap = columns === Infinity ? "  " : " ".repeat(Math.max(2, room - widthOf(wanted) + 2));
  const indent = " ".repeat(head.length);
  const by = `${approval.child}, task ${approval.index} of run ${shortRun(approval.run)}: ${neutraliseLine(approval.title)}`;
  const lines = [
    `${style.bold(head)}${style.bold(wanted)}${gap}${state}${style.dim(age)}`,
    indent + style.dim(truncate(by, columns - indent.length)),
    ...wrap(quoted(approval.why), columns - indent.length, WHY_LINES_MAX).map((line) => indent + line),
  ];
  if (approval.risk.reasons.length > 0)
    lines.push(
      ...wrap(`${approval.risk.level} risk: ${approval.risk.reasons.map(neutraliseLine).join("; ")}`, columns - indent.length).map(
        (line) => indent + style.yellow(line),
      ),
    );
  if (answer !== null && answer.reason !== "")
    lines.push(...wrap(`answer: ${neutraliseLine(answer.reason)}`, columns - indent.length).map((line) => indent + line));
  return lines;
}

/** All that is known, for someone who hesitates. */
export function detailLines(approval: ApprovalSummary, { style, columns, nowMs }: Sheet): readonly string[] {
  const row = (name: string, text: string): readonly string[] =>
    wrap(text, columns - 12, WHY_LINES_MAX).map((line, at) => `   ${style.dim((at === 0 ? name : "").padEnd(8))} ${line}`);
  return [
    ...row("path", neutraliseLine(approval.path)),
    ...row("for", `${modeText(approval.mode)}, asked ${approval.asks === 1 ? "once" : `${approval.asks} times`}`),
    ...row("task", `${approval.index} of run ${shortRun(approval.run)}, attempt ${approval.attempt}: ${neutraliseLine(approval.title)}`),
    ...row("why", quoted(approval.why)),
    ...row("risk", [approval.risk.level, ...approval.risk.reasons.map(neutraliseLine)].join("; ")),
    ...row(
      "before",
      approval.earlier.length === 0
        ? "nothing of it was given in this run"
        : approval.earlier.map((one) => `${one.grant} (${one.mode}) to ${one.child}`).join(", "),
    ),
    ...row("expires", `in ${formatDuration(approval.expiresAtMs - nowMs)}, then denied`),
  ];
}

/** The heading of a question that waits for a key; nothing of it can come from a child. */
export function askHeading(approval: ApprovalSummary, place: string, sheet: Sheet): string {
  const left = `── ${approval.child} asks `;
  const right = ` ${approval.approval}${place} ──`;
  return left + "─".repeat(Math.max(2, Math.min(sheet.columns, 100) - widthOf(left) - widthOf(right))) + right;
}

/** What of an approval fits in four lines. */
export function askLines(approval: ApprovalSummary, place: string, sheet: Sheet): readonly string[] {
  const { style, columns } = sheet;
  return [
    style.yellow(truncate(askHeading(approval, place, sheet), columns)),
    `   ${style.bold(wantedLine(approval, columns - 3))}`,
    `   ${truncate(quoted(approval.why), columns - 3)}`,
    `   ${riskLine(approval, style)}${
      approval.risk.reasons.length === 0
        ? ""
        : `: ${truncate(approval.risk.reasons.map(neutraliseLine).join("; "), Math.max(4, columns - 18))}`
    }`,
  ];
}

/** `29m`, `expired`, `with its child`. */
export function leftText(grant: GrantSummary, nowMs: number): string {
  if (grant.state === "ended") return "–";
  if (grant.expiresAtMs === null) return "with child";
  return formatDuration(grant.expiresAtMs - nowMs);
}

export function grantState(grant: GrantSummary): string {
  const staged = grant.staged === "none" || grant.staged === "live" ? "" : `, ${grant.staged}`;
  return `${grant.state === "ended" ? (grant.end ?? "ended") : grant.state}${staged}`;
}

/** What had to be killed to take it back; empty: nothing. */
export function killedText({ processesKilled, childKilled }: Pick<GrantSummary, "processesKilled" | "childKilled">): string {
  if (childKilled) return "its child was killed, which held on to it";
  return processesKilled === 0
    ? ""
    : processesKilled === 1
      ? "1 process that held on to it was killed"
      : `${processesKilled} processes that held on to it were killed`;
}

/** `a3: serene-vibrant-newton may read /data for 30m00s (g17)` */
export function answeredText({ approval, state, child, path, answer }: ApprovalSummary): string {
  const where = neutraliseLine(path);
  if (state !== "approved" || answer === null) return `${approval}: ${child} is told no: ${where}`;
  const grant = answer.grant === null ? "" : ` (${answer.grant})`;
  return `${approval}: ${child} may ${modeText(answer.mode)} ${where} for ${formatSpan(answer.ttlMs)}${grant}`;
}
