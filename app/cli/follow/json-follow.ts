/** A run as a stream of JSON objects, one a line: its events in order, and before each end of a task the output of that task. */
import type { TaskResult } from "../../../machines/messages/result.ts";
import { jsonLine } from "../text/neutralise.ts";
import type { RunView } from "../view/run-view.ts";
import type { FollowedRun } from "./followed-run.ts";
import { OutputRecords } from "./json-output.ts";
import { outputOf } from "./output-order.ts";
import type { Sink } from "./sink.ts";

export interface JsonFollowOptions {
  readonly stdout: Sink;
  readonly withOutput: boolean;
  readonly onResult: (result: TaskResult) => Promise<void>;
}

async function writeOutput(run: FollowedRun, result: TaskResult, stdout: Sink): Promise<void> {
  const records = {
    stdout: new OutputRecords(result.index, result.attempt, "stdout"),
    stderr: new OutputRecords(result.index, result.attempt, "stderr"),
  };
  const known = outputOf(result);
  if (known.stdout !== null && known.stderr !== null) {
    for (const record of records.stdout.push(Buffer.from(known.stdout))) await stdout.write(jsonLine(record));
    for (const record of records.stderr.push(Buffer.from(known.stderr))) await stdout.write(jsonLine(record));
  } else {
    for await (const item of run.logs(result.index, { attempt: result.attempt })) {
      for (const record of records[item.stream].push(item.bytes)) await stdout.write(jsonLine(record));
      if (stdout.broken) return;
    }
  }
  for (const record of [...records.stdout.end(), ...records.stderr.end()]) await stdout.write(jsonLine(record));
}

/** Lines: `{type:"event", cursor, event}` and `{type:"output", index, attempt, stream, offset, text | base64}`. */
export async function followAsJson(run: FollowedRun, view: RunView, options: JsonFollowOptions): Promise<void> {
  const { stdout } = options;
  for await (const { cursor, event } of run.events()) {
    view.apply(event);
    if (event.type === "task-finished") {
      await options.onResult(event.result);
      if (options.withOutput && !stdout.broken) await writeOutput(run, event.result, stdout);
    }
    await stdout.write(jsonLine({ type: "event", cursor, event }));
  }
}
