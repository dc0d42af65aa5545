/** Reads standard input whole, up to a limit. */
import { CohortError } from "../../runtime/kernel/error.ts";

/** Waits for end of file, as filters do: Ctrl-C ends the command. Throws USAGE over `bytesMax`. */
export async function readAll(input: AsyncIterable<Buffer | string>, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    size += bytes.length;
    if (size > bytesMax)
      throw new CohortError("USAGE", { on: `standard input has more than ${bytesMax} bytes`, hint: "split it over several runs" });
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}
