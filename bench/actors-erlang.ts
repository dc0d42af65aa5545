/** Erlang as a peer: its program is compiled into a directory of its own, and started once a round. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Peer } from "./result.ts";

const TIMEOUT_MS = 60_000;

export interface ErlangRound {
  readonly pingPongUs: number;
  readonly spawnMs: number;
  readonly killMs: number;
}

export interface Erlang {
  readonly peer: Peer;
  /** Null where there is no Erlang. */
  round(messages: number, processes: number): ErlangRound | null;
  close(): void;
}

function run(command: string, args: readonly string[], cwd: string): string {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", timeout: TIMEOUT_MS, killSignal: "SIGKILL" });
  if (result.status !== 0) throw new Error(`${command} ended with ${String(result.status)}: ${result.stderr.slice(-2000)}`);
  return result.stdout;
}

export function erlang(): Erlang {
  const how = "erl -noshell: two processes exchange messages, processes are started, processes are killed; nothing is durable";
  if (!existsSync("/usr/bin/erlc")) return { peer: { name: "Erlang", version: "absent", how }, round: () => null, close: () => undefined };
  const directory = mkdtempSync(join(tmpdir(), "cohort-erlang-"));
  run("erlc", [join(import.meta.dirname, "actors.erl")], directory);
  const release = run("erl", ["-noshell", "-eval", 'io:format("~s", [erlang:system_info(otp_release)]), halt(0).'], directory);
  return {
    peer: { name: "Erlang", version: `OTP ${release}`, how },
    round: (messages, processes) => {
      const start = `actors:main(["${messages}", "${processes}"]).`;
      const text = run("erl", ["-noshell", "+P", "200000", "-eval", start], directory);
      const micros = new Map(
        text
          .trim()
          .split("\n")
          .map((line): [string, number] => [line.split(" ")[0] ?? "", Number(line.split(" ")[1])]),
      );
      const of = (name: string): number => micros.get(name) ?? Number.NaN;
      return { pingPongUs: of("pingPong") / messages, spawnMs: of("spawn") / 1000, killMs: of("kill") / 1000 };
    },
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}
