/** `cohort replay`: the journal of a run through the machines again, here; with --what-if also through changed ones. */
import { isCohortError } from "../../../runtime/kernel/error.ts";
import type { ActorReplayed, Cohort } from "../../../sdk/index.ts";
import { loadMachines } from "../replay/machine-file.ts";
import { Tally } from "../replay/tally.ts";
import { writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { describeTerminal, stdoutColumns } from "../terminal.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { kindsTable, summaryLine, verdictLines } from "../view/replay-text.ts";
import { shortRun } from "../view/run-view.ts";
import { departureLines, whatIfLine } from "../view/what-if-text.ts";

export interface ReplayOptions {
  readonly whatIf?: string;
  readonly json?: boolean;
}

/** So much of an action is shown where there is no terminal to fit. */
const PIPE_COLUMNS = 160;
const EXIT_STATUS_DEPARTS = 1;

function page(tally: Tally, kinds: readonly string[]): string {
  const { stdoutStyle: style } = describeTerminal(process.env);
  const width = stdoutColumns();
  const whatIf = kinds.length > 0;
  const columns = Number.isFinite(width) ? width : PIPE_COLUMNS;
  const more = (all: number, shown: readonly ActorReplayed[]): string[] =>
    all > shown.length ? [`… and ${all - shown.length} more: --json tells of all`] : [];
  const told = tally.shown.flatMap((replayed) => [...verdictLines(replayed, style), ""]);
  const departing = tally.departing.flatMap((replayed) => [...departureLines(replayed, columns, style), ""]);
  return [
    kindsTable(tally, whatIf, width),
    ...told,
    ...more(tally.verdicts("departs"), tally.shown),
    ...departing,
    ...more(
      tally.sum(({ departures }) => departures),
      tally.departing,
    ),
    summaryLine(tally, style),
    ...(whatIf ? [whatIfLine(tally, kinds, style)] : []),
    "",
  ].join("\n");
}

function summary(run: string, tally: Tally, kinds: readonly string[]): unknown {
  const departures = tally.sum((kind) => kind.departures);
  return {
    type: "replay",
    run,
    same: tally.proven,
    actors: tally.sum((kind) => kind.actors),
    events: tally.sum((kind) => kind.events),
    states: tally.sum((kind) => kind.states),
    departs: tally.verdicts("departs"),
    ...(kinds.length === 0 ? {} : { whatIf: { kinds, actors: tally.sum((kind) => kind.asked), departs: departures } }),
  };
}

/** A deleted run is listed nowhere, but its whole id leads to its tombstones. */
async function namedRun(
  cohort: Cohort,
  written: string,
): Promise<{ readonly run: string; readonly title: string; readonly lives: boolean }> {
  try {
    const { run, title, status } = await findRun(cohort, written);
    return { run, title, lives: status === "running" || status === "cancelling" };
  } catch (error) {
    if (!isCohortError(error, "RUN_UNKNOWN") || !/^[a-z0-9]{4,32}$/.test(written)) throw error;
    return { run: written, title: "", lives: false };
  }
}

export function replayCommand(written: string, options: ReplayOptions): Promise<number> {
  return withCohort(async (cohort) => {
    const changed = options.whatIf === undefined ? [] : await loadMachines(options.whatIf);
    const kinds = changed.map(({ kind }) => kind);
    const { run: id, title, lives } = await namedRun(cohort, written);
    const json = options.json === true;
    const tally = new Tally();
    for await (const replayed of cohort.attach(id).replay({ changed })) {
      tally.add(replayed);
      if (json) writeNow(1, jsonLine({ type: "actor", ...replayed }));
    }
    if (json) writeNow(1, jsonLine(summary(id, tally, kinds)));
    else {
      const upToHere = lives ? ", which goes on: up to here" : "";
      writeNow(1, `run ${shortRun(id)}${title === "" ? "" : ` “${neutraliseLine(title)}”`}${upToHere}\n\n${page(tally, kinds)}`);
    }
    return tally.proven && tally.sum(({ departures }) => departures) === 0 ? 0 : EXIT_STATUS_DEPARTS;
  });
}
