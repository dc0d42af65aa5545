/**
 * The one word that --quiet does not keep back: a run would wait for its person, and nobody would know.
 * Owns: which questions are open, the timer of the first, and that it was said. Does not own: what asks and answers.
 * W1 it is said once, of a question that nobody has answered within WAIT_MS: what was answered with the run is none.
 */
import type { RunEvent } from "../../../machines/messages/result.ts";

const WAIT_MS = 1000;

export class WaitingWord {
  readonly #say: (text: string) => void;
  readonly #open = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #isSaid = false;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  heard(event: RunEvent): void {
    if (event.type === "approval-answered") this.#open.delete(event.approval);
    if (event.type !== "approval-requested" || this.#isSaid) return;
    this.#open.add(event.approval);
    this.#timer ??= setTimeout(() => this.#look(), WAIT_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #look(): void {
    this.#timer = null;
    if (this.#open.size === 0) return;
    this.#isSaid = true;
    this.#say("cohort: a task asks you something, and waits for the answer: cohort approvals (said once)\n");
  }
}
