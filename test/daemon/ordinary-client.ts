/** Run as an ordinary user: starts one run and tells how that went, as one line of JSON. */
import { connect, isCohortError } from "../../sdk/index.ts";

try {
  await using cohort = await connect();
  const run = await cohort.run({ title: "one", tasks: [{ title: "a", command: ["id", "-u"] }] });
  const summary = await run.finished();
  console.log(JSON.stringify({ daemon: cohort.daemon.pid, status: summary.status, counts: summary.counts }));
} catch (error) {
  console.log(JSON.stringify(isCohortError(error) ? { code: error.code, hint: error.hint } : { code: String(error) }));
}
