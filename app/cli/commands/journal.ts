/** `cohort journal`: what is written down, from the cohortd that runs, or from a private copy of the files where none does. */
import { CohortError, StoppedJournal, isCohortError, type Cohort, type JournalReader } from "../../../sdk/index.ts";
import { walkStart } from "../../../runtime/kernel/inspection.ts";
import type { ContentCheck, VerifyItem } from "../../../machines/messages/journal.ts";
import { writeNow } from "../report.ts";
import { findRun, withCohort } from "../session.ts";
import { stdoutColumns } from "../terminal.ts";
import { formatSize } from "../text/measure.ts";
import { jsonLine, neutraliseLine } from "../text/neutralise.ts";
import { actorText, effectsText, eventsText, summaryText, verifyText } from "../view/journal-text.ts";

export type JournalAction = "summary" | "events" | "effects" | "actor" | "verify" | "backup";

export interface JournalCommandOptions {
  readonly type?: string;
  readonly after?: number;
  readonly limit?: number;
  readonly json?: boolean;
}

/** Beyond it measuring every table would hold up a cohortd at work. */
const MEASURED_BYTES_MAX = 256 * 1024 ** 2;
const LIMIT_DEFAULT = 200;

interface Source {
  readonly journal: JournalReader;
  /** Null: no cohortd runs. */
  readonly cohort: Cohort | null;
}

async function withSource<T>(work: (source: Source) => Promise<T>): Promise<T> {
  let reached = false;
  try {
    return await withCohort(
      async (cohort) => {
        reached = true;
        return work({ journal: cohort.journal, cohort });
      },
      { start: false },
    );
  } catch (error) {
    if (reached || !isCohortError(error, "DAEMON_UNREACHABLE")) throw error;
  }
  return work({ journal: new StoppedJournal(), cohort: null });
}

function need(what: string | undefined, name: string, action: JournalAction): string {
  if (what === undefined) throw new CohortError("USAGE", { on: `cohort journal ${action} needs ${name}` });
  return what;
}

/** KIND:ID is taken as it is; RUN stands for its scope and its actor, which have one name. */
async function named(written: string, cohort: Cohort | null): Promise<string> {
  if (written.includes(":")) return written;
  const [run = "", index] = written.split("/");
  const id = cohort === null || /^[a-z0-9]{10,32}$/.test(run) ? run : (await findRun(cohort, run)).run;
  return index === undefined ? `run:${id}` : `child:${id}/${index}`;
}

async function summary({ journal, cohort }: Source, json: boolean): Promise<number> {
  const small = cohort === null || (await cohort.journal.state()).bytes <= MEASURED_BYTES_MAX;
  const answer = await journal.summary({ measure: small });
  writeNow(1, json ? jsonLine(answer) : summaryText(answer, Date.now()));
  return 0;
}

async function events({ journal, cohort }: Source, what: string | undefined, options: JournalCommandOptions): Promise<number> {
  const { type, limit = LIMIT_DEFAULT, json = false } = options;
  const of = what === undefined ? undefined : await named(what, cohort);
  const found = [];
  let next: number | null = options.after ?? 0;
  while (next !== null && found.length < limit) {
    const page = await journal.events({ of, type, after: next, limit: limit - found.length });
    found.push(...page.events);
    ({ next } = page);
  }
  if (json) for (const event of found) writeNow(1, jsonLine(event));
  else if (found.length > 0) writeNow(1, eventsText({ events: found, next }, Date.now(), stdoutColumns()));
  else writeNow(2, "cohort: there are no such events\n");
  if (!json && next !== null) writeNow(2, `cohort: there are more: --after ${next}\n`);
  return 0;
}

async function effects({ journal }: Source, { after = 0, limit = LIMIT_DEFAULT, json = false }: JournalCommandOptions): Promise<number> {
  const found = await journal.effects({ after, limit });
  if (json) for (const effect of found) writeNow(1, jsonLine(effect));
  else if (found.length > 0) writeNow(1, effectsText(found, stdoutColumns()));
  else writeNow(2, "cohort: no effect is pending\n");
  if (!json && found.length === limit) writeNow(2, `cohort: there may be more: --after ${found.at(-1)?.id ?? 0}\n`);
  return 0;
}

async function actor({ journal, cohort }: Source, written: string, json: boolean): Promise<number> {
  const ref = await named(written, cohort);
  const found = await journal.actor(ref);
  if (found === null) throw new CohortError("ACTOR_UNKNOWN", { on: ref, hint: "cohort journal events RUN lists those of a run" });
  writeNow(1, json ? jsonLine(found) : actorText(found, Date.now(), stdoutColumns()));
  return 0;
}

/** 1: something is not as it was written. */
async function verify({ journal, cohort }: Source, json: boolean): Promise<number> {
  let last: VerifyItem = { events: walkStart, content: { runs: 0, results: 0, transcripts: 0, unhashed: 0, problems: [] }, done: false };
  let content: ContentCheck | null = null;
  if (cohort !== null) {
    for await (const item of cohort.journal.verify()) last = item;
    ({ content } = last);
  } else if (journal instanceof StoppedJournal) last = { ...last, events: await journal.verify(), done: true };
  const { events: walk } = last;
  const problems = walk.problems.length + (content?.problems.length ?? 0);
  writeNow(1, json ? jsonLine({ events: walk, content, ok: problems === 0 }) : verifyText(walk, content));
  return problems === 0 ? 0 : 1;
}

async function backup({ journal }: Source, file: string, json: boolean): Promise<number> {
  const { bytes } = await journal.backup(file);
  if (json) writeNow(1, jsonLine({ file, bytes }));
  else
    writeNow(2, `cohort: ${neutraliseLine(file)} holds the journal, ${formatSize(bytes)}; what tasks wrote lies in content/, beside it\n`);
  return 0;
}

export function journalCommand(action: JournalAction, what: string | undefined, options: JournalCommandOptions): Promise<number> {
  const json = options.json === true;
  return withSource((source) => {
    switch (action) {
      case "summary":
        return summary(source, json);
      case "events":
        return events(source, what, options);
      case "effects":
        return effects(source, options);
      case "actor":
        return actor(source, need(what, "an actor: RUN, RUN/INDEX or KIND:ID", action), json);
      case "verify":
        return verify(source, json);
      case "backup":
        return backup(source, need(what, "a file", action), json);
    }
  });
}
