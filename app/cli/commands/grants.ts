/** `cohort grant`, `grants` and `revoke`, `freeze` and `thaw`: what living children hold, and whether they move. */
import type { GrantMode, GrantSummary } from "../../../machines/messages/grant.ts";
import { CohortError } from "../../../runtime/kernel/error.ts";
import type { Cohort } from "../../../sdk/index.ts";
import { realDirectory } from "../map/mounts.ts";
import { reportError, writeNow } from "../report.ts";
import { chooseChild, findRun, withCohort } from "../session.ts";
import { stdoutColumns } from "../terminal.ts";
import { formatSpan } from "../text/measure.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { table, type Column } from "../text/table.ts";
import { shortRun } from "../view/run-view.ts";
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

const PATH_COLUMNS_MIN = 16;
/** Below it the name of the child gives way to its task: a path says more. */
const WIDE_COLUMNS = 100;
const GAP_COLUMNS = 2;

function columnsOf(grants: readonly GrantSummary[], nowMs: number, width: number): readonly Column<GrantSummary>[] {
  const others: readonly Column<GrantSummary>[] = [
    { title: "grant", cell: (grant) => grant.grant, columnsMax: 28 },
    { title: "mode", cell: (grant) => grant.mode },
    { title: "state", cell: grantState },
    { title: "left", align: "right", cell: (grant) => leftText(grant, nowMs) },
    width < WIDE_COLUMNS
      ? { title: "task", cell: (grant) => `${shortRun(grant.run)}/${grant.index}` }
      : { title: "child", cell: (grant) => grant.child, columnsMax: 26 },
  ];
  // What the others leave: the path is cut in its middle, so that its end is seen.
  const taken = others.map((column) =>
    Math.min(
      column.columnsMax ?? Infinity,
      grants.reduce((widest, grant) => Math.max(widest, column.cell(grant).length), column.title.length),
    ),
  );
  const room = Math.max(PATH_COLUMNS_MIN, width - taken.reduce((sum, columns) => sum + columns + GAP_COLUMNS, 0));
  return [...others, { title: "path", cell: (grant) => middleCut(neutraliseLine(grant.path), room) }];
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
    else writeNow(1, table(grants, columnsOf(grants, Date.now(), stdoutColumns()), stdoutColumns()));
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

type RevokeOptions = JsonOption & { readonly discard?: boolean };

/** 0: it is taken back, and nothing is lost. */
async function revokeOne(cohort: Cohort, id: string, before: GrantSummary | undefined, options: RevokeOptions): Promise<number> {
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
  if (options.json === true) {
    writeNow(1, jsonLine(grant));
    return 0;
  }
  const killed = killedText(grant);
  writeNow(2, `cohort: ${id}: ${living ? "taken back" : `had ended already: ${grantState(grant)}`}${killed === "" ? "" : `; ${killed}`}\n`);
  if (grant.staged === "held") writeNow(2, `cohort: what it changed: cohort diff ${id}, then apply or discard it\n`);
  if (!living || grant.staged !== "lost") return 0;
  writeNow(2, `cohort: ${id}: what it changed could not be collected, and is lost\n`);
  return 1;
}

/** Each for itself: one that cannot be taken back keeps none of the others. 0 all · 1 something was lost · 255 one was refused. */
export function revokeCommand(ids: readonly string[], options: RevokeOptions): Promise<number> {
  return withCohort(async (cohort) => {
    let status = 0;
    const known = options.json === true ? [] : await cohort.grants.list({ ended: true, limit: LISTED_MAX });
    for (const id of ids) {
      try {
        const before = known.find(({ grant }) => grant === id);
        status = Math.max(status, await revokeOne(cohort, id, before, options));
      } catch (error) {
        if (!(error instanceof CohortError)) throw error;
        status = Math.max(status, reportError(error, options.json === true));
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
