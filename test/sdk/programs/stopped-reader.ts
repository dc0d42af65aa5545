/** Opens `count` subscriptions to the output of a run's first task and to its events, says so, and reads nothing: whoever started it stops it. */
import { connect } from "../../../sdk/index.ts";

const [id = "", count = "0"] = process.argv.slice(2);
const cohort = await connect({ origin: { surface: "test" } });
const run = cohort.attach(id);
const opened: Promise<unknown>[] = [];
for (let at = 0; at < Number(count); at += 1) {
  opened.push(run.logs(0, { follow: true }).next(), run.events().next());
}
await Promise.all(opened);
process.stdout.write("open\n");
setInterval(() => {}, 1000);
