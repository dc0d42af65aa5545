/** `cohort grant`, `grants` and `revoke`, `freeze` and `thaw`: what living children hold, and whether they move. */
import type { GrantMode, GrantSummary } from "../../../machines/messages/grant.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import { realDirectory } from "../map/mounts.ts";
import { writeNow } from "../report.ts";
import { chooseChild, findRun, withCohort } from "../session.ts";
import { stdoutColumns } from "../terminal.ts";
import { formatSpan } from "../text/measure.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { table, type Column } from "../text/table.ts";
import { grantState, killedText, leftText, middleCut, modeText } from "../view/permission-text.ts";
import { ttlOf } from "./approvals.ts";
import type { JsonOption } from "./machine.ts";

export interface GrantCommandOptions extends JsonOption {
  readonly mode?: GrantMode;
  readonly ttl?: string;
  readonly uses?: number;
  readonly reason?: string;
  readonly as?: string;
  readonly acceptUnprotected?: boolean;
  readonly acceptHome?: boolean;
}

export interface GrantsOptions extends JsonOption {
  readonly all?: boolean;
  readonly run?: string;
}

const LISTED_MAX = 1000;

function columnsOf(nowMs: number, width: number): readonly Column<GrantSummary>[] {
  // What the other columns leave, so that the end of a path is seen.
  const room = Math.max(16, width - 62);
  return [
    { title: "grant", cell: (grant) => grant.grant, columnsMax: 28 },
    { title: "mode", cell: (grant) => grant.mode },
    { title: "state", cell: grantState },
    { title: "left", align: "right", cell: (grant) => leftText(grant, nowMs) },
    { title: "child", cell: (grant) => grant.child, columnsMax: 26 },
    { title: "path", cell: (grant) => middleCut(neutraliseLine(grant.path), room) },
  ];
}

export function grantsCommand(options: GrantsOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const run = options.run === undefined ? undefined : (await findRun(cohort, options.run)).run;
    const grants = await cohort.grants.list({ ended: options.all === true, limit: LISTED_MAX, ...(run === undefined ? {} : { run }) });
    if (options.json === true) writeNow(1, jsonLine({ grants }));
    else if (grants.length === 0)
      writeNow(
        2,
        options.all === true ? "cohort: there was no grant yet\n" : "cohort: no child holds a grant now; --all shows ended ones\n",
      );
    else writeNow(1, table(grants, columnsOf(Date.now(), stdoutColumns()), stdoutColumns()));
    return 0;
  });
}

/** What a person should know of the grant that was just made. */
function remarks(grant: GrantSummary): readonly string[] {
  return [
    ...(grant.isCopy ? ["its file system cannot be mapped to the child's user: the child has a copy, as of now"] : []),
    ...(grant.isProtectionPartial ? ["not every protected name in it could be looked for: the child may reach one of them"] : []),
    ...(grant.undo === "too-large"
      ? ["it is too large to be copied before: what the child overwrites or deletes cannot be brought back"]
      : []),
  ];
}

export function grantCommand(written: string, path: string, options: GrantCommandOptions): Promise<number> {
  const source = realDirectory(path, process.cwd(), (reason): never => {
    throw new CohortError("USAGE", { on: `${path}: ${reason}`, hint: "cohort grant CHILD PATH" });
  });
  const { mode, ttl, uses, reason, as } = options;
  const ttlMs = ttl === undefined ? undefined : ttlOf(ttl);
  return withCohort(async (cohort) => {
    const { child } = chooseChild(written, await cohort.children());
    const grant = await cohort.grants.create({
      child,
      path: source,
      ...(mode === undefined ? {} : { mode }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(uses === undefined ? {} : { uses }),
      ...(reason === undefined ? {} : { reason }),
      ...(as === undefined ? {} : { as }),
      acceptUnprotected: options.acceptUnprotected === true,
      acceptHome: options.acceptHome === true,
    });
    if (options.json === true) {
      writeNow(1, jsonLine(grant));
      return 0;
    }
    const time = grant.expiresAtMs === null ? "" : ` for ${formatSpan(grant.expiresAtMs - (grant.attachedAtMs ?? grant.createdAtMs))}`;
    writeNow(
      2,
      `cohort: ${grant.grant}: ${child} may ${modeText(grant.mode)} ${neutraliseLine(grant.path)}${time}, as ~/mnt/${neutraliseLine(grant.as)}\n`,
    );
    for (const remark of remarks(grant)) writeNow(2, `cohort: ${remark}\n`);
    writeNow(1, `${grant.grant}\n`);
    return 0;
  });
}

export function revokeCommand(ids: readonly string[], options: JsonOption & { readonly discard?: boolean }): Promise<number> {
  return withCohort(async (cohort) => {
    let status = 0;
    const known = options.json === true ? [] : await cohort.grants.list({ ended: true, limit: LISTED_MAX });
    for (const id of ids) {
      const before = known.find(({ grant }) => grant === id);
      const living = before !== undefined && before.state !== "ended";
      if (living) {
        const kept =
          before.staged !== "live" ? "" : options.discard === true ? "; what it changed is thrown away" : "; what it changed is kept";
        writeNow(
          2,
          `cohort: ${id}: taking ${neutraliseLine(before.path)} from ${before.child}: a process that holds on to it is killed${kept}\n`,
        );
      }
      const grant = await cohort.grants.revoke(id, { discard: options.discard === true });
      if (options.json === true) writeNow(1, jsonLine(grant));
      else {
        const killed = killedText(grant);
        writeNow(
          2,
          `cohort: ${id}: ${living ? "taken back" : `had ended already: ${grantState(grant)}`}${killed === "" ? "" : `; ${killed}`}\n`,
        );
        if (living && grant.staged === "lost") {
          status = 1;
          writeNow(2, `cohort: ${id}: what it changed could not be collected, and is lost\n`);
        }
        if (grant.staged === "held") writeNow(2, `cohort: what it changed: cohort diff ${id}, then apply or discard it\n`);
      }
    }
    return status;
  });
}

export function freezeCommand(written: string, options: JsonOption): Promise<number> {
  return withCohort(async (cohort) => {
    const { child } = chooseChild(written, await cohort.children());
    await cohort.freeze(child);
    if (options.json === true) writeNow(1, jsonLine({ child, frozen: true }));
    else writeNow(2, `cohort: ${child} stands still, and its time goes on; to let it go on: cohort thaw ${child}\n`);
    return 0;
  });
}

export function thawCommand(written: string, options: JsonOption): Promise<number> {
  return withCohort(async (cohort) => {
    const { child } = chooseChild(written, await cohort.children());
    await cohort.thaw(child);
    if (options.json === true) writeNow(1, jsonLine({ child, frozen: false }));
    else writeNow(2, `cohort: ${child} goes on\n`);
    return 0;
  });
}
