/** Appends numbered lines to two streams until it is killed, telling on stdout how far each is written. argv: path. */
import { writeSync } from "node:fs";
import { TranscriptWriter } from "../../runtime/transcript/transcript-writer.ts";

const path = process.argv[2];
if (path === undefined) throw new Error("usage: appending-process.ts PATH");
const writer = await TranscriptWriter.open(path);
const deadline = Date.now() + 20_000;
for (let line = 0; Date.now() < deadline; line += 1) {
  const bytes = Buffer.from(`line ${line} ${"é".repeat(line % 50)}\n`);
  await Promise.all(
    ["stdout", "stderr"].map(async (stream) => {
      await writer.append(stream, writer.nextOffset(stream), bytes);
      writeSync(1, `${stream} ${writer.nextOffset(stream)}\n`);
    }),
  );
}
