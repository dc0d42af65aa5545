/** Answers what a person asks of the journal: its size, what is in it, a backup, and whether it and the content that it refers to are what they were. Owns nothing. */
import { createHash, hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Runtime } from "../runtime/contract.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import { walkStart, type JournalQuestion, type JournalQuestions } from "../runtime/kernel/inspection.ts";
import type { ResultFacts } from "../machines/messages/facts.ts";
import type { ContentCheck, ContentProblem, JournalState, VerifyItem } from "../machines/messages/journal.ts";
import type { TaskResult } from "../machines/messages/result.ts";
import { hasCode, type Content } from "./content.ts";
import type { JournalDoor } from "./contract.ts";
import type { ResultFile } from "./result-file.ts";
import type { RunJournal } from "./run-journal.ts";

/** Links of a slice: some milliseconds. */
const WALK_ROWS = 1000;
const PROBLEMS_MAX = 100;

export interface JournalDoorParts {
  readonly runtime: Runtime;
  readonly content: Content;
  readonly results: ResultFile;
  readonly journal: RunJournal;
}

export class OpenJournalDoor implements JournalDoor {
  readonly #parts: JournalDoorParts;

  constructor(parts: JournalDoorParts) {
    this.#parts = parts;
  }

  async state(): Promise<JournalState> {
    const { runtime } = this.#parts;
    return { full: runtime.stats().full, ...(await runtime.inspect("size", null)) };
  }

  ask<Q extends JournalQuestion>(question: Q, ask: JournalQuestions[Q]["ask"]): Promise<JournalQuestions[Q]["answer"]> {
    return this.#parts.runtime.inspect(question, ask);
  }

  backup(path: string): Promise<{ readonly bytes: number }> {
    return this.#parts.runtime.backup(path);
  }

  async *verify(signal: AbortSignal): AsyncGenerator<VerifyItem> {
    let content: ContentCheck = { runs: 0, results: 0, transcripts: 0, unhashed: 0, problems: [] };
    let events = walkStart;
    while (!events.done) {
      signal.throwIfAborted();
      events = await this.#parts.runtime.inspect("walk", { from: events, limit: WALK_ROWS });
      yield { events, content, done: false };
    }
    for (const { run } of await this.#parts.journal.rows()) {
      signal.throwIfAborted();
      content = await this.#withRun(content, run);
      yield { events, content, done: false };
    }
    yield { events, content, done: true };
  }

  async #withRun(before: ContentCheck, run: string): Promise<ContentCheck> {
    let { results, transcripts, unhashed } = before;
    const problems = [...before.problems];
    for await (const facts of this.#parts.journal.settled(run)) {
      const { record, index, attempt } = facts;
      if (record === null) continue;
      results++;
      const found = (what: ContentProblem["what"], reason: ContentProblem["reason"]): void => {
        if (problems.length < PROBLEMS_MAX) problems.push({ run, index, attempt, what, reason });
      };
      const result = record.sha256 === undefined ? "unhashed" : await this.#result(run, facts);
      if (result === "unhashed") unhashed++;
      else if (typeof result === "string") found("result", result);
      else if (result.transcript === undefined) unhashed++;
      else if (result.transcript !== null) {
        transcripts++;
        const verdict = await transcriptVerdict(this.#parts.content.transcriptPath(run, index, attempt), result.transcript);
        if (verdict !== "whole") found("transcript", verdict);
      }
    }
    return { runs: before.runs + 1, results, transcripts, unhashed, problems };
  }

  async #result(run: string, { record }: ResultFacts): Promise<TaskResult | "changed" | "missing"> {
    if (record === null) return "missing";
    try {
      const line = await this.#parts.results.line(run, record);
      if (hash("sha256", line, "hex") !== record.sha256) return "changed";
      return JSON.parse(line.toString("utf8")) as TaskResult;
    } catch (error) {
      if (isCohortError(error, "CONTENT_GONE") || isCohortError(error, "JOURNAL_FULL")) return "missing";
      throw error;
    }
  }
}

/** Its first `bytes`, which the result covers: what a process that outlived its settlement wrote stands behind them. */
async function transcriptVerdict(
  path: string,
  { bytes, sha256 }: { readonly bytes: number; readonly sha256: string },
): Promise<"whole" | "changed" | "missing"> {
  const digest = createHash("sha256");
  let read = 0;
  try {
    for await (const block of createReadStream(path, { end: Math.max(0, bytes - 1) })) {
      const chunk = block as Buffer;
      digest.update(chunk);
      read += chunk.length;
    }
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "missing";
    throw error;
  }
  return read === bytes && digest.digest("hex") === sha256 ? "whole" : "changed";
}
