/**
 * The live view of one run on stderr.
 * Owns: a screen, a frame timer, a timer that asks the supervisor for signs of life. Does not own: the run's state, what is printed above.
 * V1 at most ten frames a second. V2 a supervisor that does not answer leaves the last known state, never an error.
 */
import type { ListChildren } from "../follow/followed-run.ts";
import type { Terminal } from "../terminal.ts";
import { liveLines } from "./live-lines.ts";
import type { RunView } from "./run-view.ts";
import { Screen, type ScreenStream } from "./screen.ts";
import type { Style } from "./style.ts";

/** What stands below the run: a question, say. */
export interface Footer {
  lines(sheet: { readonly nowMs: number; readonly columns: number; readonly rows: number; readonly style: Style }): readonly string[];
  /** Nothing of it is on the screen now. */
  unseen(): void;
}

const FRAME_MS = 100;
/** Of the run as many rows are seen, whatever stands below it. */
const RUN_ROWS_MIN = 5;
const OBSERVE_MS = 1000;

export class LiveView {
  readonly #view: RunView;
  readonly #terminal: Terminal;
  readonly #screen: Screen;
  readonly #listChildren: ListChildren;
  readonly #footer: Footer | null;
  readonly #timers: NodeJS.Timeout[] = [];
  #observing = false;

  constructor(view: RunView, terminal: Terminal, stream: ScreenStream, listChildren: ListChildren, footer: Footer | null = null) {
    this.#view = view;
    this.#terminal = terminal;
    this.#screen = new Screen(stream);
    this.#listChildren = listChildren;
    this.#footer = footer;
  }

  start(): void {
    this.#timers.push(setInterval(() => this.#draw(), FRAME_MS));
    this.#timers.push(setInterval(() => this.#observe(), OBSERVE_MS));
    this.#draw();
  }

  stepAside(): void {
    this.#screen.hide();
  }

  comeBack(): void {
    this.#screen.show();
  }

  close(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#screen.close();
  }

  /** Something in it changed that a person is waiting for. */
  redraw(): void {
    this.#draw();
  }

  #draw(): void {
    // A question counts as shown from here on.
    if (!this.#screen.isVisible) return this.#footer?.unseen();
    const terminal = this.#terminal;
    const frame = { nowMs: Date.now(), columns: terminal.columns(), rows: terminal.rows(), style: terminal.stderrStyle };
    const below = this.#footer?.lines({ ...frame, rows: Math.max(3, frame.rows - RUN_ROWS_MIN) }) ?? [];
    this.#screen.draw([...liveLines(this.#view, { ...frame, rows: Math.max(RUN_ROWS_MIN, frame.rows - below.length) }), ...below]);
  }

  #observe(): void {
    if (this.#observing || this.#view.running.size === 0) return;
    this.#observing = true;
    this.#listChildren().then(
      (children) => {
        this.#view.observe(children);
        this.#observing = false;
      },
      () => {
        this.#observing = false;
      },
    );
  }
}
