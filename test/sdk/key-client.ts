/** Starts (or finds) the run whose key is given, says its id, and stays until it is killed. */
import { connect } from "../../sdk/index.ts";

const cohort = await connect();
const run = await cohort.map(["sh", "-c", "echo {} >> ~/mnt/shared/seen; sleep 1"], ["a", "b", "c"], {
  key: process.argv[2] ?? "",
  jobs: 1,
  mounts: [{ path: process.argv[3] ?? "", as: "shared", mode: "rw" }],
});
console.log(JSON.stringify({ run: run.id, created: run.created }));
setInterval(() => undefined, 1000);
