/**
 * Owns, for each living attempt, what its sandbox refused: counts by program, call and detail, and which of them the run's log has.
 * Does not own the rows (the relay writes them) nor the words of them (denial-file.ts).
 *
 * 1. Different refusals of an attempt are bounded; what comes beyond is counted together.
 * 2. Rows are coalesced: a handful a second for each attempt, fewer when there are many attempts. What is left is told before the result.
 * 3. It is advice. Nothing waits for it, and nothing is decided by it.
 */
import type { Origin, Runtime } from "../runtime/contract.ts";
import { isCohortError } from "../runtime/kernel/error.ts";
import type { RuntimeLog } from "../runtime/log/runtime-log.ts";
import { DENIED_CALLS_SHOWN_MAX, type DeniedCall } from "../machines/messages/result.ts";
import type { Denial } from "../vm/backend.ts";
import type { DeniedWords, DenialFile } from "./denial-file.ts";
import type { SessionId } from "./session.ts";

export const DENIED_KINDS_MAX = 1000;
const FIRST_ROW_MS = 100;
const ROWS_MS_MIN = 1000;
const ROWS_AT_ONCE = 8;
/** Of all attempts together. */
const ROWS_PER_SECOND_MAX = 400;

interface Kind {
  readonly pid: number;
  readonly program: string;
  readonly call: string;
  readonly detail: string;
  times: number;
  /** Of them, those that stand in the run's log. */
  told: number;
}

interface Attempt {
  readonly id: SessionId;
  readonly kinds: Map<string, Kind>;
  readonly untold: Set<Kind>;
  telling: Promise<void>;
  timer: NodeJS.Timeout | null;
}

export interface DenialPorts {
  readonly file: DenialFile;
  readonly runtime: Promise<Runtime>;
  readonly log: RuntimeLog;
}

const denialOrigin: Origin = { surface: "daemon", device: "warden" };
/** Advice is not worth waiting for room. */
const untoldErrors: ReadonlySet<string> = new Set([
  "ACTOR_UNKNOWN",
  "DEAD_LETTER",
  "MAILBOX_FULL",
  "JOURNAL_FULL",
  "CONTENT_GONE",
  "CANCELLED",
]);

export class Denials {
  readonly #ports: DenialPorts;
  readonly #attempts = new Map<string, Attempt>();

  constructor(ports: DenialPorts) {
    this.#ports = ports;
  }

  /** Of a session that ended there is nothing left to tell. */
  heard(id: SessionId | undefined, { pid, program, call, detail, repeated }: Denial): void {
    if (id === undefined) return;
    const attempt = this.#attempt(id);
    const key = `${program}\0${call}\0${detail}`;
    const known = attempt.kinds.get(key);
    const kind = known ?? this.#newKind(attempt, key, { pid, program, call, detail, times: 0, told: 0 });
    kind.times += repeated;
    attempt.untold.add(kind);
    attempt.timer ??= this.#arm(attempt, FIRST_ROW_MS);
  }

  /** How often this attempt was refused something. */
  times(name: string): number {
    return [...(this.#attempts.get(name)?.kinds.values() ?? [])].reduce((sum, { times }) => sum + times, 0);
  }

  /** The most frequent first, then in their order. */
  summary(name: string): readonly DeniedCall[] {
    return [...(this.#attempts.get(name)?.kinds.values() ?? [])]
      .toSorted((one, other) => other.times - one.times)
      .slice(0, DENIED_CALLS_SHOWN_MAX)
      .map(({ program, call, detail, times }) => ({ program, call, detail, times }));
  }

  /** Resolves when the run's log has all that is known now. */
  async flush(name: string): Promise<void> {
    const attempt = this.#attempts.get(name);
    if (attempt === undefined) return;
    if (attempt.timer !== null) clearTimeout(attempt.timer);
    attempt.timer = null;
    await this.#tell(attempt, DENIED_KINDS_MAX + 1);
  }

  forget(name: string): void {
    const timer = this.#attempts.get(name)?.timer ?? null;
    if (timer !== null) clearTimeout(timer);
    this.#attempts.delete(name);
  }

  #attempt(id: SessionId): Attempt {
    const known = this.#attempts.get(id.name);
    if (known !== undefined) return known;
    const attempt: Attempt = { id, kinds: new Map(), untold: new Set(), telling: Promise.resolve(), timer: null };
    this.#attempts.set(id.name, attempt);
    return attempt;
  }

  #newKind(attempt: Attempt, key: string, kind: Kind): Kind {
    if (attempt.kinds.size < DENIED_KINDS_MAX) {
      attempt.kinds.set(key, kind);
      return kind;
    }
    const rest = attempt.kinds.get("") ?? { pid: 0, program: "", call: "other calls", detail: "", times: 0, told: 0 };
    attempt.kinds.set("", rest);
    return rest;
  }

  #arm(attempt: Attempt, afterMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#tell(attempt, ROWS_AT_ONCE).then(
        () => {
          const intervalMs = Math.max(ROWS_MS_MIN, (1000 * ROWS_AT_ONCE * this.#attempts.size) / ROWS_PER_SECOND_MAX);
          attempt.timer = attempt.untold.size > 0 && this.#attempts.has(attempt.id.name) ? this.#arm(attempt, intervalMs) : null;
        },
        (error: unknown) => {
          attempt.timer = null;
          this.#ports.log.warn({ child: attempt.id.name, error }, "what a child was refused could not be written down");
        },
      );
    }, afterMs).unref();
  }

  /** One after the other, so that a kind is never told twice. */
  #tell(attempt: Attempt, rowsMax: number): Promise<void> {
    const telling = attempt.telling.then(async () => {
      await Promise.all(
        [...attempt.untold].slice(0, rowsMax).map((kind) => {
          attempt.untold.delete(kind);
          const { pid, program, call, detail } = kind;
          const times = kind.times - kind.told;
          kind.told = kind.times;
          return this.#row(attempt.id, times, { pid, program, call, detail });
        }),
      );
    });
    attempt.telling = telling.catch(() => undefined);
    return telling;
  }

  /** The relay's: so it comes before the result in the run's log. */
  async #row({ run, index, attempt, name }: SessionId, times: number, words: DeniedWords): Promise<void> {
    const { file, runtime, log } = this.#ports;
    try {
      const event = { type: "denied", index, attempt, child: name, times, words: await file.append(run, words) };
      await (await runtime).post(`relay:${run}`, event, denialOrigin);
    } catch (error) {
      if (!isCohortError(error) || !untoldErrors.has(error.code)) throw error;
      log.info({ child: name, error }, "a refusal is missing in the log of its run");
    }
  }
}
