/** `cohort read`: bytes of what a result only previews, as they are to a pipe, made harmless for a terminal. */
import { isatty } from "node:tty";
import { Printer } from "../follow/printer.ts";
import { Sink } from "../follow/sink.ts";
import { withCohort } from "../session.ts";

export interface ReadOptions {
  readonly offset?: number;
  readonly bytes?: number;
}

const EXIT_STATUS_BROKEN_PIPE = 141;

export function readCommand(handle: string, options: ReadOptions): Promise<number> {
  return withCohort(async (cohort) => {
    if (options.bytes === 0) return 0;
    const sink = new Sink(1, () => {});
    const printer = new Printer({ terminal: isatty(1), tag: null });
    for await (const { bytes } of cohort.read(handle, options)) {
      await sink.write(printer.push(bytes));
      if (sink.broken) return EXIT_STATUS_BROKEN_PIPE;
    }
    await sink.write(printer.end());
    return sink.broken ? EXIT_STATUS_BROKEN_PIPE : 0;
  });
}
