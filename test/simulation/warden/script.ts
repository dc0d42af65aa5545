/**
 * What a simulated program does, as words of its command: `out:BYTES`, `err:BYTES`, `sleep:MS`, `file:NAME=BYTES`, `exit:CODE`, `signal:NUMBER`, `hang`, `deaf`
 * (ignores SIGTERM from there on), `cat` (stdin to stdout), `flaky:TIMES` (exit 1 in the first attempts), `ask:MODE:PATH` (for a directory, until there is an answer).
 * Pure.
 */
export type Step =
  | { readonly type: "write"; readonly stream: "stdout" | "stderr"; readonly bytes: number }
  | { readonly type: "sleep"; readonly ms: number }
  | { readonly type: "file"; readonly name: string; readonly bytes: number }
  | { readonly type: "exit"; readonly code: number }
  | { readonly type: "signal"; readonly signal: number }
  | { readonly type: "flaky"; readonly times: number }
  | { readonly type: "ask"; readonly mode: string; readonly path: string }
  | { readonly type: "hang" | "deaf" | "cat" };

export function stepsOf(argv: readonly string[]): readonly Step[] {
  return argv.slice(1).map(stepOf);
}

function stepOf(word: string): Step {
  const colon = word.indexOf(":");
  const name = colon < 0 ? word : word.slice(0, colon);
  const value = colon < 0 ? "" : word.slice(colon + 1);
  switch (name) {
    case "out":
      return { type: "write", stream: "stdout", bytes: Number(value) };
    case "err":
      return { type: "write", stream: "stderr", bytes: Number(value) };
    case "sleep":
      return { type: "sleep", ms: Number(value) };
    case "exit":
      return { type: "exit", code: Number(value) };
    case "signal":
      return { type: "signal", signal: Number(value) };
    case "flaky":
      return { type: "flaky", times: Number(value) };
    case "ask":
      return { type: "ask", mode: value.slice(0, value.indexOf(":")), path: value.slice(value.indexOf(":") + 1) };
    case "file": {
      const [file = "", bytes = "0"] = value.split("=");
      return { type: "file", name: file, bytes: Number(bytes) };
    }
    case "hang":
    case "deaf":
    case "cat":
      return { type: name };
    default:
      throw new Error(`no such step: ${word}`);
  }
}

/** Bytes of a stream from an offset on: each tells its place and its stream; some are not UTF-8. */
export function content(salt: number, offset: number, bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at++) {
    const place = offset + at;
    if (place % 61 === 60) made[at] = 0x0a;
    else if (salt % 4 === 0 && place % 97 === 96) made[at] = 0xff;
    else made[at] = 32 + ((place * 7 + Math.floor(place / 61) + salt) % 95);
  }
  return made;
}
