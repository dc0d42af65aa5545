/** A program with durable orders: `program.ts DIRECTORY ORDER`. Started again after any end of it, it goes on where it was. Says how the order ended. */
import { connect } from "../../sdk/index.ts";
import { confinedTasks, openActors } from "../../sdk/actors.ts";
import { order } from "./order.ts";

const [, , directory = "", id = ""] = process.argv;

await using cohort = await connect();
await using actors = await openActors({ directory, actors: [order], effects: confinedTasks(cohort) });
// An order of this name that is there already is left as it is.
const mine = await actors.start(order, id, { order: id, items: ["green tea", "a pot"] });
const { value } = await mine.until((state) => state.value !== "reserving", { timeoutMs: 60_000 });
if (value === "waiting") await mine.send({ type: "confirm", by: "the person who ordered" });
const end = await mine.ended({ timeoutMs: 60_000 });
console.log(JSON.stringify({ created: mine.created, value: end.value, steps: end.context.steps }));
