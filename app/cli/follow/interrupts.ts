/**
 * Ctrl-C, SIGTERM, a closed terminal or a closed pipe, and what they do to a run.
 * Owns: this process's handlers of SIGINT, SIGTERM and SIGHUP. Does not own: the run, which goes on until it has ended.
 * C1 once cancels with grace, twice kills; more changes nothing. C2 the process ends only when the run has: nothing is left behind.
 * C3 before a run is known the first is remembered for it, the second ends the process.
 */
import { CohortError, isCohortError } from "../../../runtime/kernel/error.ts";

export interface Cancellable {
  cancel(mode?: "grace" | "kill", reason?: string): Promise<void>;
}

const EXIT_STATUS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type Handled = keyof typeof EXIT_STATUS;

/** As a shell reports a writer whose reader went away. */
const EXIT_STATUS_BROKEN_PIPE = 141;

export class Interrupts {
  readonly #handlers: readonly (readonly [Handled, () => void])[];
  readonly #say: (text: string) => void;
  #target: Cancellable | null = null;
  #count = 0;
  #asked: "none" | "grace" | "kill" = "none";
  #reason = "";
  #exitStatus: number | null = null;
  #failure: unknown = null;

  /** `say` gets one line for a person, without its newline. */
  constructor(say: (text: string) => void) {
    this.#say = say;
    this.#handlers = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) => [signal, () => this.#heard(signal)] as const);
    for (const [signal, handler] of this.#handlers) process.on(signal, handler);
  }

  /** What the process should end with; null: nobody interrupted it. */
  get exitStatus(): number | null {
    return this.#exitStatus;
  }

  /** Set when the supervisor could not be told to cancel. */
  get failure(): unknown {
    return this.#failure;
  }

  attach(target: Cancellable): void {
    this.#target = target;
    this.#ask();
  }

  /** Nobody reads what the tasks write. */
  brokenPipe(reason: string): void {
    this.#exitStatus ??= EXIT_STATUS_BROKEN_PIPE;
    if (this.#count === 0) this.#count = 1;
    this.#reason ||= reason;
    this.#ask();
  }

  close(): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }

  #heard(signal: Handled): void {
    this.#count += 1;
    this.#exitStatus ??= EXIT_STATUS[signal];
    this.#reason ||= signal === "SIGINT" ? "Ctrl-C" : signal;
    if (this.#target === null && this.#count > 1) process.exit(this.#exitStatus);
    if (this.#count === 1) this.#say("cancelling: children are asked to end and get their grace; once more kills them");
    else if (this.#count === 2) this.#say("killing: waiting for the proof that nothing is left");
    this.#ask();
  }

  #ask(): void {
    const wanted = this.#count === 0 ? "none" : this.#count === 1 ? "grace" : "kill";
    if (this.#target === null || wanted === "none" || wanted === this.#asked) return;
    this.#asked = wanted;
    this.#target.cancel(wanted, this.#reason).catch((error: unknown) => {
      // It ended by itself meanwhile: its last event is on its way.
      if (isCohortError(error, "RUN_UNKNOWN") || isCohortError(error, "ACTOR_UNKNOWN") || isCohortError(error, "DEAD_LETTER")) return;
      this.#failure = error;
      this.#say(
        error instanceof CohortError
          ? `the supervisor could not be told: ${error.message}`
          : `the supervisor could not be told: ${String(error)}`,
      );
    });
  }
}
