/** Compresses every source file of this checkout's runtime, each in a child that sees that directory read-only, and collects what they wrote. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { connect } from "../../sdk/index.ts";

const directory = resolve(import.meta.dirname, "../../runtime");
const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));

await using cohort = await connect();
const run = await cohort.map(["sh", "-c", 'gzip -9 -c "$1" > "$COHORT_OUT/$(basename "$1").gz"', "gzip", "{}"], files, {
  title: "compress the runtime",
  mounts: [{ path: directory, as: "sources", mode: "ro" }],
  cwd: "mnt/sources",
});

let [before, after] = [0, 0];
for await (const result of run.results()) {
  const file = files[result.index] ?? "";
  assert.equal(result.status, "succeeded", `${file}: ${result.status} ${result.detail} ${result.stderr.preview}`);
  const [collected] = result.out;
  assert.ok(collected !== undefined && result.outDirectory !== null, `${file}: one file was collected`);
  assert.equal(collected.path, `${basename(file)}.gz`);
  const original = readFileSync(join(directory, file));
  assert.deepEqual(gunzipSync(readFileSync(join(result.outDirectory, collected.path))), original);
  before += original.length;
  after += collected.bytes;
}
const { counts } = await run.finished();
assert.equal(counts.succeeded, files.length);
console.log(`${files.length} files, ${before} bytes compressed to ${after}, each by a confined child of its own (run ${run.id})`);
