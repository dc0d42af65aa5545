/**
 * Owns the streams of one attempt while this supervisor lives: its output on the way to the transcript, its stdin on the way in.
 * Does not own the attempt's state (the child's machine), nor the connection (vm-link.ts).
 *
 * 1. Output is acknowledged to the warden only after write(2) to the transcript; a full disk stops acknowledging, which stops the child.
 * 2. Each byte stands in the transcript once, however often the warden sends it again.
 * 3. What is not yet written never exceeds the streams' windows.
 * 4. Beyond the output limit nothing is written, and the machine hears of it once. It is acknowledged, behind what was written: else the rest of
 *    it would keep the exit from coming.
 * 5. Nothing of a stream reaches the machine but one progress event per interval.
 */
import { setTimeout as delay } from "node:timers/promises";
import { TranscriptWriter } from "../runtime/transcript/transcript-writer.ts";
import type { Task } from "../machines/messages/task.ts";
import type { OutputChunk, OutputStream } from "../vm/backend.ts";
import { TURN_BYTES_MAX, type FairTurns } from "./fair-turns.ts";
import { LifeSigns } from "./life-signs.ts";
import { emptyPreviews, previewsOf, type Previews } from "./preview.ts";
import { StdinFeed } from "./stdin-feed.ts";

export interface SessionId {
  readonly run: string;
  readonly index: number;
  readonly attempt: number;
  readonly name: string;
}

export interface SessionPorts {
  readonly transcriptPath: string;
  ack(stream: OutputStream, offset: number): void;
  writeStdin(offset: number, bytes: Uint8Array, fin: boolean): void;
  /** Other sessions live, too. */
  hasSiblings(): boolean;
  /** Some output was written. */
  written(chunk: OutputChunk): void;
  progress(): void;
  outputLimit(): void;
  failed(error: unknown): void;
}

interface Queued {
  readonly chunk: OutputChunk;
  readonly ackOffset: number;
}

const WRITE_RETRY_MS = 1000;
/** Of one child beside others; what a moment's burst may be before that counts. */
const PACE_BYTES_PER_SECOND = 4 * 1024 ** 2;
const PACE_BURST_BYTES = 4 * 1024 ** 2;

export class Session {
  readonly id: SessionId;
  readonly #ports: SessionPorts;
  readonly #turns: FairTurns;
  readonly #queue: Queued[] = [];
  #draining: Promise<void> | null = null;
  #writer: Promise<TranscriptWriter> | null = null;
  readonly #written = { stdout: 0, stderr: 0 };
  readonly #previews = emptyPreviews();
  #previewsWhole = true;
  #resumed = false;
  #wroteAny = false;
  #limitReached = false;
  #debtBytes = 0;
  #pacedAtMs = 0;
  #waiters: (() => void)[] = [];
  /** Which warden may hold the sandbox; null: none was asked yet. */
  sentTo: string | null = null;
  /** Aborts when the start is to be given up, if it has not happened. */
  readonly doom = new AbortController();
  /** There will be no further output. */
  lost = false;
  closed = false;
  /** The task, where this supervisor has read it already. */
  task: Task | null = null;
  /** A sentence about the attempt lies in its note. */
  noted = false;
  /** Of the last change of its deadline that was asked for. */
  deadlineOrder = 0;
  /** A collection of its files was begun; the next needs another id, because the warden executes an id once. */
  collected = false;
  outputBytesMax = Number.POSITIVE_INFINITY;
  /** Resolved when the runtime has the outcome of the start effect. */
  readonly start = Promise.withResolvers<void>();
  stdin: StdinFeed | null = null;
  readonly signs = new LifeSigns();

  constructor(id: SessionId, ports: SessionPorts, turns: FairTurns) {
    this.id = id;
    this.#turns = turns;
    this.#ports = ports;
  }

  giveStdin(text: string): void {
    this.stdin = new StdinFeed(Buffer.from(text), (offset, bytes, fin) => this.#ports.writeStdin(offset, bytes, fin));
  }

  /** What is over the limit is not kept; what was written up to it is. */
  output(chunk: OutputChunk): void {
    if (this.closed) return;
    if (this.#limitReached) return this.#enqueue(chunk, 0);
    const other = chunk.stream === "stdout" ? this.#written.stderr : this.#written.stdout;
    const room = this.outputBytesMax - chunk.offset - other;
    if (chunk.bytes.length <= room) return this.#enqueue(chunk, chunk.bytes.length);
    this.#limitReached = true;
    this.#enqueue(chunk, Math.max(0, room));
    this.#ports.outputLimit();
    this.#wake();
  }

  #enqueue(whole: OutputChunk, keptBytes: number): void {
    const chunk = keptBytes === whole.bytes.length ? whole : { ...whole, bytes: whole.bytes.subarray(0, keptBytes) };
    if (keptBytes > 0 && !this.#previews[chunk.stream].push(chunk.offset, chunk.bytes)) this.#previewsWhole = false;
    this.#queue.push({ chunk, ackOffset: whole.offset + whole.bytes.length });
    this.#draining ??= this.#drain();
    if (keptBytes > 0) this.#progressed();
  }

  /** On a new connection: its sandbox stands. */
  found(isFrozen: boolean): void {
    this.stdin?.resume();
    this.signs.frozen(isFrozen);
  }

  /** What it said of itself over its tools channel. */
  reported(report: { readonly text: string; readonly fraction: number | null }): void {
    this.signs.said(report);
    this.#ports.progress();
  }

  #progressed(): void {
    this.signs.said();
    this.#ports.progress();
  }

  /** Resolves when everything up to these offsets is written, or when no more can come: the limit was reached, the sandbox is lost, or the deadline passed. */
  async complete(stdoutBytes: number, stderrBytes: number, deadlineMs: number): Promise<"complete" | "incomplete"> {
    if (stdoutBytes + stderrBytes > 0) await this.#recall();
    const isComplete = (): boolean => this.#written.stdout >= stdoutBytes && this.#written.stderr >= stderrBytes;
    const endAtMs = Date.now() + deadlineMs;
    while (!isComplete() && !this.#limitReached && !this.lost && !this.closed && Date.now() < endAtMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, endAtMs - Date.now()));
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    await this.#draining;
    return isComplete() ? "complete" : "incomplete";
  }

  /** Nothing of it stands in a transcript. */
  get isSilent(): boolean {
    return !this.#resumed && !this.#wroteAny;
  }

  /** Of what stands in the transcript, where it was seen from its beginning. */
  get totals(): Readonly<Record<OutputStream, number>> | null {
    return this.#resumed ? null : { ...this.#written };
  }

  /** Somebody waits for its first output: the file is made meanwhile. What fails here is told when there is something to write. */
  prepare(): void {
    if (this.#writer !== null || this.closed || this.lost) return;
    this.#open().catch(() => {});
  }

  lose(): void {
    this.lost = true;
    this.#wake();
  }

  /** Where the transcript stands, for a summary without an exit. */
  async writtenBytes(): Promise<{ readonly stdout: number; readonly stderr: number }> {
    await this.#recall();
    await this.#draining;
    return { ...this.#written };
  }

  async sync(): Promise<void> {
    if (this.#writer !== null) await (await this.#writer).sync();
  }

  /** Of what was written, and of what an earlier supervisor wrote. Null where nothing was. */
  async transcript(): Promise<{ readonly bytes: number; readonly sha256: string } | null> {
    await this.#recall();
    if (this.#writer === null) return null;
    const digest = await (await this.#writer).digest();
    return digest.bytes === 0 ? null : digest;
  }

  async previews(): Promise<Previews> {
    return this.#previewsWhole ? this.#previews : previewsOf(this.#ports.transcriptPath);
  }

  /** The session was not seen from its beginning: what is known of it lies in files. */
  resumed(): void {
    this.#resumed = true;
    this.noted = true;
    this.#previewsWhole = false;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#wake();
    await this.#draining;
    if (this.#writer !== null) await (await this.#writer).close();
  }

  async #drain(): Promise<void> {
    // What came in one read of the socket is written at once.
    await Promise.resolve();
    while (this.#queue.length > 0 && !this.closed) {
      const batch = this.#takeTurn();
      await this.#turns.take(batch.reduce((sum, { chunk }) => sum + chunk.bytes.length, 0));
      try {
        await this.#write(batch.map(({ chunk }) => chunk));
        this.signs.written(true);
      } catch (error) {
        this.signs.written(false);
        this.#ports.failed(error);
        this.#queue.unshift(...batch);
        await this.#reopen();
        await delay(WRITE_RETRY_MS);
        continue;
      }
      await this.#pace(batch);
      for (const { chunk, ackOffset } of batch) {
        if (chunk.bytes.length > 0) this.#written[chunk.stream] = Math.max(this.#written[chunk.stream], chunk.offset + chunk.bytes.length);
        this.#ports.ack(chunk.stream, Math.max(this.#written[chunk.stream], ackOffset));
        if (chunk.bytes.length > 0) this.#ports.written(chunk);
      }
      this.#wake();
    }
    this.#draining = null;
  }

  #takeTurn(): Queued[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < TURN_BYTES_MAX) bytes += this.#queue[count++]?.chunk.bytes.length ?? 0;
    return this.#queue.splice(0, count);
  }

  /** Who writes without end is acknowledged more slowly while others run: what it takes of this process, they miss. */
  async #pace(batch: readonly Queued[]): Promise<void> {
    if (!this.#ports.hasSiblings()) return;
    const nowMs = performance.now();
    const bytes = batch.reduce((sum, { chunk }) => sum + chunk.bytes.length, 0);
    this.#debtBytes = Math.max(0, this.#debtBytes - (nowMs - this.#pacedAtMs) * (PACE_BYTES_PER_SECOND / 1000)) + bytes;
    this.#pacedAtMs = nowMs;
    const waitMs = ((this.#debtBytes - PACE_BURST_BYTES) / PACE_BYTES_PER_SECOND) * 1000;
    if (waitMs >= 1) await delay(waitMs);
  }

  async #write(batch: readonly OutputChunk[]): Promise<void> {
    const some = batch.filter(({ bytes }) => bytes.length > 0);
    if (some.length === 0) return;
    this.#wroteAny = true;
    const writer = await this.#opened();
    await Promise.all(some.map(({ stream, offset, bytes }) => writer.append(stream, offset, bytes)));
  }

  /** What an earlier supervisor wrote is known only to the file. */
  async #recall(): Promise<void> {
    if (this.#resumed) await this.#opened();
  }

  async #opened(): Promise<TranscriptWriter> {
    const writer = await this.#open();
    for (const stream of ["stdout", "stderr"] as const) this.#written[stream] = Math.max(this.#written[stream], writer.nextOffset(stream));
    return writer;
  }

  /** One that cannot be opened is forgotten: the next one who needs it tries again. */
  #open(): Promise<TranscriptWriter> {
    if (this.#writer !== null) return this.#writer;
    const opening = (this.#writer = TranscriptWriter.open(this.#ports.transcriptPath));
    opening.catch(() => {
      if (this.#writer === opening) this.#writer = null;
    });
    return opening;
  }

  async #reopen(): Promise<void> {
    const writer = this.#writer;
    this.#writer = null;
    if (writer === null) return;
    const settled = await Promise.allSettled([writer.then((opened) => opened.close())]);
    for (const one of settled) if (one.status === "rejected") this.#ports.failed(one.reason);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
