/**
 * Owns one child's tools channel as cohortd reads it: lines of JSON that ask, and one answer to each; or that report, and none.
 * Does not own the connection, nor what an answer says (asks.ts). What comes is hostile input.
 *
 * 1. A line has an end: more than LINE_BYTES_MAX without one is dropped to the next newline, and answered once.
 * 2. At most OUTSTANDING_MAX questions wait, so many are read a second, and none while the child leaves answers unread: then its own writes block.
 *    What is left unread for HELD_MS_MAX is dropped: an exit comes behind all that its process said, and must not wait for it.
 * 3. The warden hears of no byte of a question before its answer is in the child's socket: what a supervisor had not answered, the next one reads
 *    again. Questions behind it come again, too, and are answered again; nobody waits for those. With BEHIND_BYTES_MAX behind it a question is let
 *    go of: a child that says much else while it waits is answered by this supervisor or by none.
 * 4. Reports are read as they come, so many bytes a second; of those the newest counts, so many a second.
 * 5. Bytes that are written to the child have a place: after a new connection they go on where the warden says, never elsewhere.
 */
import { z } from "zod";
import { grantModeSchema, grantPathSchema } from "../machines/messages/grant.ts";
import type { AskAnswer, DirectoryAsk } from "../machines/messages/approval.ts";
import type { ToolsChunk } from "../vm/backend.ts";
import { Allowance, type Rate } from "./allowance.ts";

const LINE_BYTES_MAX = 64 * 1024;
const OUTSTANDING_MAX = 32;
/** A person answers questions, and a machine reads reports. */
const QUESTIONS: Rate = { atOnce: 40, perSecond: 10 };
const REPORTS: Rate = { atOnce: 20, perSecond: 10 };
const REPORT_BYTES: Rate = { atOnce: 256 * 1024, perSecond: 256 * 1024 };
/** Answers that the kernel has not taken; one is a few hundred bytes. */
const UNREAD_BYTES_MAX = 64 * 1024;
const HELD_MS_MAX = 5000;
const BEHIND_BYTES_MAX = 64 * 1024;
const LOOK_AGAIN_MS = 50;
/** Of its words as many reach a person. */
const WHY_LENGTH_MAX = 2000;
const REPORT_LENGTH_MAX = 500;
/** How a line says that it reports; within a text its quotes would be escaped. */
const REPORT_KEY = '"progress"';
const NEWLINE = 10;

const idSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const askSchema = z.strictObject({
  id: idSchema,
  ask: z.literal("directory"),
  path: grantPathSchema,
  mode: grantModeSchema.default("ro"),
  why: z.string().default(""),
});

/** The fraction of its work that is done, from 0 to 1. */
const reportSchema = z.strictObject({ progress: z.string(), fraction: z.number().min(0).max(1).nullable().default(null) });

export interface ToolsPorts {
  progress(report: { readonly text: string; readonly fraction: number | null }): void;
  ask(ask: DirectoryAsk, signal: AbortSignal): Promise<AskAnswer>;
  ack(offset: number): void;
  write(offset: number, bytes: Uint8Array): void;
  failed(error: unknown): void;
}

/** A question from its first byte on, until the kernel has its answer. */
interface Question {
  readonly id: number;
  readonly start: number;
  /** Where its answer ends among the bytes to the child; null: it has none yet. */
  answerEnd: number | null;
}

export class ToolsChannel {
  readonly #ports: ToolsPorts;
  readonly #closing = new AbortController();
  #unread = Buffer.alloc(0);
  /** Offset of the first unread byte; null before anything came. */
  #position: number | null = null;
  #skipping = false;
  readonly #questions: Question[] = [];
  /** Answers that the warden has not written to the socket yet, and where the first of them stands. */
  #answers = Buffer.alloc(0);
  #answersStart = 0;
  #connected = true;
  readonly #questionsAllowed = new Allowance(QUESTIONS);
  readonly #reportsAllowed = new Allowance(REPORTS);
  readonly #reportBytesAllowed = new Allowance(REPORT_BYTES);
  /** Not told yet. */
  #newestReport: string | null = null;
  /** Since when there has always been a line that could not be read yet. */
  #heldSinceMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(ports: ToolsPorts) {
    this.#ports = ports;
  }

  received({ offset, bytes }: ToolsChunk): void {
    this.#position ??= offset;
    if (this.#closing.signal.aborted) return this.#drop(offset + bytes.length);
    const end = this.#position + this.#unread.length;
    // What came before a lost connection comes again.
    const fresh = bytes.subarray(Math.max(0, end - offset));
    if (fresh.length > 0) this.#unread = Buffer.concat([this.#unread, fresh]);
    this.#pump();
    this.#acknowledge();
  }

  /** So many bytes are in the child's socket: by what was written, or, first thing on a new connection, by what the warden knows. */
  acked(offset: number): void {
    const known = Math.min(Math.max(0, offset - this.#answersStart), this.#answers.length);
    this.#answers = this.#answers.subarray(known);
    this.#answersStart = offset;
    for (const question of this.#questions) if (question.answerEnd !== null && question.answerEnd <= offset) question.answerEnd = 0;
    if (!this.#connected) {
      this.#connected = true;
      if (this.#answers.length > 0) this.#ports.write(this.#answersStart, this.#answers);
    }
    this.#pump();
    this.#acknowledge();
  }

  get isAsking(): boolean {
    return this.#questions.some(({ answerEnd }) => answerEnd === null);
  }

  /** What is answered from now on waits for the next connection. */
  disconnected(): void {
    this.#connected = false;
  }

  /** Nobody will hear an answer any more: what it says from now on is let go of unread. */
  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    if (this.#position !== null) this.#drop(this.#position + this.#unread.length);
  }

  #drop(end: number): void {
    this.#unread = Buffer.alloc(0);
    this.#position = Math.max(this.#position ?? 0, end);
    this.#ports.ack(this.#position);
  }

  #pump(): void {
    while (!this.#closing.signal.aborted && this.#takeLine());
    if (!this.#closing.signal.aborted) this.#tellReport();
  }

  /** True: there may be another. */
  #takeLine(): boolean {
    const start = this.#position ?? 0;
    const length = this.#unread.indexOf(NEWLINE);
    if (length < 0) this.#heldSinceMs = null;
    if (length < 0 && this.#unread.length < LINE_BYTES_MAX) return false;
    if (length < 0) {
      if (!this.#skipping) this.#refuse(0, `a line is longer than ${LINE_BYTES_MAX} bytes`);
      this.#skipping = true;
      this.#consume(this.#unread.length);
      return false;
    }
    const isReport = this.#unread.subarray(0, length).includes(REPORT_KEY);
    if (isReport && !this.#reportBytesAllowed.take(length + 1)) return this.#later();
    if (!isReport && (this.#answers.length >= UNREAD_BYTES_MAX || !this.#questionsAllowed.take())) return this.#hold();
    const line = this.#unread.toString("utf8", 0, length);
    const wasSkipping = this.#skipping;
    this.#skipping = false;
    this.#consume(length + 1);
    if (wasSkipping || line.trim() === "") return true;
    if (isReport) this.#newestReport = line;
    else this.#question(line, start);
    return true;
  }

  #consume(bytes: number): void {
    this.#unread = this.#unread.subarray(bytes);
    this.#position = (this.#position ?? 0) + bytes;
  }

  #hold(): false {
    const nowMs = Date.now();
    this.#heldSinceMs ??= nowMs;
    if (nowMs - this.#heldSinceMs < HELD_MS_MAX) return this.#later();
    this.#skipping = this.#unread.at(-1) !== NEWLINE;
    this.#heldSinceMs = null;
    this.#consume(this.#unread.length);
    return false;
  }

  #later(): false {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#pump();
      this.#acknowledge();
    }, LOOK_AGAIN_MS).unref();
    return false;
  }

  /** Nobody waits for an answer to one; what is wrong with it is told while somebody reads. */
  #tellReport(): void {
    const line = this.#newestReport;
    if (line === null) return;
    if (!this.#reportsAllowed.take()) {
      this.#later();
      return;
    }
    this.#newestReport = null;
    const value = parsed(line);
    const report = reportSchema.safeParse(value);
    if (report.success) this.#ports.progress({ text: report.data.progress.slice(0, REPORT_LENGTH_MAX), fraction: report.data.fraction });
    else if (this.#answers.length < UNREAD_BYTES_MAX) this.#refuse(0, problemOf(value, report.error));
  }

  #question(line: string, start: number): void {
    const value = parsed(line);
    const ask = askSchema.safeParse(value);
    if (!ask.success) {
      const id = z.object({ id: idSchema }).safeParse(value);
      return this.#refuse(id.success ? id.data.id : 0, problemOf(value, ask.error));
    }
    const { id, path, mode, why } = ask.data;
    const waiting = this.#questions.filter(({ answerEnd }) => answerEnd === null);
    if (waiting.some((other) => other.id === id)) return this.#refuse(id, "a question with this id is not answered yet");
    if (waiting.length >= OUTSTANDING_MAX) return this.#refuse(id, `${OUTSTANDING_MAX} questions wait for an answer already`);
    const question: Question = { id, start, answerEnd: null };
    this.#questions.push(question);
    this.#answered(question, { path, mode, why: why.slice(0, WHY_LENGTH_MAX) }).catch((error: unknown) => {
      // Left unanswered, it is read again after a restart: better than an answer that nobody gave.
      if (!this.#closing.signal.aborted) this.#ports.failed(error);
    });
  }

  async #answered(question: Question, ask: DirectoryAsk): Promise<void> {
    const answer = await this.#ports.ask(ask, this.#closing.signal);
    if (this.#closing.signal.aborted) return;
    question.answerEnd = this.#write({ id: question.id, ...answer });
  }

  #refuse(id: number, reason: string): void {
    this.#write({ id, answer: "denied", reason });
  }

  #write(message: object): number {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    const offset = this.#answersStart + this.#answers.length;
    this.#answers = Buffer.concat([this.#answers, bytes]);
    if (this.#connected) this.#ports.write(offset, bytes);
    return offset + bytes.length;
  }

  #acknowledge(): void {
    while (this.#questions[0]?.answerEnd === 0) this.#questions.shift();
    if (this.#position === null) return;
    const first = this.#questions[0]?.start ?? this.#position;
    this.#ports.ack(this.#position - first > BEHIND_BYTES_MAX ? this.#position : first);
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function problemOf(value: unknown, error: z.ZodError): string {
  if (value === undefined) return "this is no JSON";
  const [issue] = error.issues;
  return issue === undefined
    ? "this is no question"
    : `${issue.path.map(String).join(".") || "the question"}: ${issue.message}`.slice(0, 500);
}
