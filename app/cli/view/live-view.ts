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

const FRAME_MS = 100;
const OBSERVE_MS = 1000;

export class LiveView {
  readonly #view: RunView;
  readonly #terminal: Terminal;
  readonly #screen: Screen;
  readonly #listChildren: ListChildren;
  readonly #timers: NodeJS.Timeout[] = [];
  #observing = false;

  constructor(view: RunView, terminal: Terminal, stream: ScreenStream, listChildren: ListChildren) {
    this.#view = view;
    this.#terminal = terminal;
    this.#screen = new Screen(stream);
    this.#listChildren = listChildren;
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

  #draw(): void {
    const terminal = this.#terminal;
    this.#screen.draw(
      liveLines(this.#view, { nowMs: Date.now(), columns: terminal.columns(), rows: terminal.rows(), style: terminal.stderrStyle }),
    );
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
