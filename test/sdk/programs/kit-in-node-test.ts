/** The testing kit under Node's own runner. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXPIRY_MS, order } from "../../../examples/05-durable-workflow/order.ts";
import { simulatedTasks, testActors } from "../../../sdk/testing.ts";

await test("an order that nobody confirms is given back after three days", async () => {
  await using actors = await testActors({ actors: [order], effects: simulatedTasks(() => ({})) });
  const one = await actors.start(order, "o1", { order: "o1", items: ["tea"] });
  await actors.clock.advance(EXPIRY_MS + 1000);
  assert.equal((await one.query())?.value, "released");
});
