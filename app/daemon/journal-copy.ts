/**
 * Answers questions about a journal that no cohortd has open, or that none can open: from a copy in a private directory, with its tail worked in.
 *
 * Owns the copy, and removes it. Takes no lock on the journal itself and changes nothing of it: a cohortd may start, or be at work, meanwhile.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { CohortError } from "../../runtime/kernel/error.ts";
import { walkStart } from "../../runtime/kernel/inspection.ts";
import { openStore, type JournalStore } from "../../runtime/journal/store.ts";
import { backupSchema, journalQuestionSchema } from "../../machines/messages/journal.ts";
import { accountOf, isRoot, type Environment } from "../../sdk/account.ts";
import { statePaths } from "../../sdk/paths.ts";
import { dropRoot } from "./drop.root.ts";
import { parseRequest } from "./request.ts";
import { groupsOf } from "./system-user.ts";

/** The database, what SQLite has not worked into it, and what the journal has not. */
const FILES = ["journal.sqlite", "journal.sqlite-wal", "journal.tail"] as const;
/** A journal in use changes while it is copied. */
const ATTEMPTS_MAX = 10;
const WALK_ROWS = 5000;

const requestSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("ask"), question: journalQuestionSchema }),
  z.strictObject({ type: z.literal("verify") }),
  z.strictObject({ type: z.literal("backup"), ...backupSchema.shape }),
]);

/** As the person whose journal it is, root or not. `request`: JSON. */
export function answerFromCopy(request: string, environment: Environment): unknown {
  const asked = parseRequest(requestSchema, JSON.parse(request));
  const account = accountOf(environment);
  if (account === null) throw new CohortError("ROOT_WITHOUT_USER");
  const directory = join(statePaths(account, environment, isRoot()).directory, "journal");
  if (isRoot()) dropRoot(account, groupsOf(account));
  process.umask(0o077);
  const copy = mkdtempSync(join(tmpdir(), "cohort-journal-"));
  try {
    copyWhole(directory, copy);
    const store = openStore({ directory: copy, filesDirectory: join(copy, "files") });
    try {
      return answer(store, asked);
    } finally {
      store.close();
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function answer(store: JournalStore, asked: z.output<typeof requestSchema>): unknown {
  switch (asked.type) {
    case "ask":
      return store.upkeep(asked.question.question, asked.question);
    case "backup":
      return store.upkeep("backup", { path: asked.path });
    case "verify": {
      let events = walkStart;
      while (!events.done) events = store.upkeep("walk", { from: events, limit: WALK_ROWS });
      return { events };
    }
  }
}

/** All files as they were at one moment: none of them changed from before the first was copied until after the last. */
function copyWhole(from: string, to: string): void {
  if (!existsSync(join(from, FILES[0]))) throw new CohortError("DAEMON_UNREACHABLE", { on: `there is no journal in ${from}` });
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = stamp(from);
    for (const file of FILES) {
      rmSync(join(to, file), { force: true });
      if (existsSync(join(from, file))) copyFileSync(join(from, file), join(to, file));
    }
    if (stamp(from) === before) return;
  }
  throw new CohortError("JOURNAL_LOCKED", { on: `${from} is being written all the time`, hint: "ask the cohortd that writes it" });
}

function stamp(directory: string): string {
  return FILES.map((file) => {
    const found = statSync(join(directory, file), { throwIfNoEntry: false, bigint: true });
    return found === undefined ? "none" : `${found.ino} ${found.size} ${found.mtimeNs}`;
  }).join("\n");
}
