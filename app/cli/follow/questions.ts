/** Joins the questions of a followed run with the keys of the person's terminal: keys are read only while something is asked. */
import { ApprovalPrompt, type ApprovalsPort } from "./approval-prompt.ts";
import { TerminalKeys } from "./terminal-keys.ts";

export class Questions {
  readonly prompt: ApprovalPrompt;
  readonly #keys: TerminalKeys;
  readonly #closing = new AbortController();

  private constructor(prompt: ApprovalPrompt, keys: TerminalKeys) {
    this.prompt = prompt;
    this.#keys = keys;
  }

  static open(approvals: ApprovalsPort, note: (text: string) => void, redraw: () => void): Questions | null {
    const keys = TerminalKeys.open((key) => prompt.key(key));
    const prompt: ApprovalPrompt = new ApprovalPrompt({
      approvals,
      note,
      changed: () => {
        if (prompt.isAsking) keys?.start();
        else keys?.stop();
        redraw();
      },
    });
    return keys === null ? null : new Questions(prompt, keys);
  }

  listen(run: string): void {
    const stop = (): void => this.#keys.stop();
    // It tells of its failures itself; either way nobody answers keys any more.
    this.prompt.listen(run, this.#closing.signal).then(stop, stop);
  }

  close(): void {
    this.#closing.abort();
    this.#keys.stop();
  }
}
