import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Delivery, MessageDelivery } from "../../runtime/actor/delivery.ts";
import { EndedRefs } from "../../runtime/actor/ended-refs.ts";
import type { ActorRef } from "../../runtime/kernel/actions.ts";
import { EDGE_ACTOR_MAX, EDGE_QUEUE_MAX, MAILBOX_WINDOW, VISIT_EVENTS_MAX } from "../../runtime/kernel/limits.ts";
import { Mailbox } from "../../runtime/mailbox/mailbox.ts";
import { kind, ORIGIN, Stage } from "./fixture/family.ts";
import { worker } from "./fixture/opened.ts";

const FLOOD = MAILBOX_WINDOW * 5;

/** One event of the sender sends a flood: all of it is in one transaction, and most of it has to stay behind. */
async function flooded(messages: number): Promise<{ readonly stage: Stage; readonly sent: Promise<void> }> {
  const stage = new Stage([kind("leaf")]);
  await stage.open();
  for (const ref of ["leaf:sender", "leaf:flooded", "leaf:quiet"] as const) await stage.spawn(ref, {}, { scope: ref });
  const sent = stage.runtime.post("leaf:sender", { type: "flood", to: "leaf:flooded", count: messages }, ORIGIN);
  sent.catch(() => undefined);
  return { stage, sent };
}

function message(id: number, from: string, mode?: string): MessageDelivery {
  const event = mode === undefined ? { type: "add" } : { type: "cancel", mode };
  return { type: "message", id, from, to: "leaf:a", event, text: JSON.stringify(event) };
}

function drained(mailbox: Mailbox): Delivery[] {
  const all: Delivery[] = [];
  for (let delivery = mailbox.takeControl(); delivery !== undefined; delivery = mailbox.takeControl()) all.push(delivery);
  for (let delivery = mailbox.takeOrdinary(); delivery !== undefined; delivery = mailbox.takeOrdinary()) all.push(delivery);
  return all;
}

const ids = (deliveries: readonly Delivery[]): number[] =>
  deliveries.flatMap((delivery) => (delivery.type === "message" ? [delivery.id] : []));

describe("the control lane", () => {
  it("has one slot per kind and scope: a later one replaces, a kill stays, and ids only rise", () => {
    const mailbox = new Mailbox("leaf:a");
    expect(mailbox.putControl(message(1, "scope:outer", "grace"))).toBe(null);
    expect(mailbox.putControl(message(2, "scope:inner", "grace"))).toBe(null);
    expect(mailbox.putControl(message(3, "scope:outer", "kill"))).toMatchObject({ id: 1 });
    expect(mailbox.putControl(message(4, "scope:outer", "grace"))).toMatchObject({ id: 4 });
    mailbox.put(message(5, "leaf:b"));
    expect(ids(drained(mailbox))).toEqual([2, 3, 5]);
  });

  it("comes before what waited already, however much that is", async () => {
    const { stage, sent } = await flooded(FLOOD);
    await stage.settle(sent);
    await stage.settle(stage.runtime.cancelScope("leaf:flooded", "grace", "enough", ORIGIN));
    await stage.environment.advance(10_000);
    const heard = await stage.heard("leaf:flooded");
    expect(heard.at(-1)).toMatchObject({ type: "cancel", mode: "grace" });
    expect(heard.length).toBeLessThanOrEqual(MAILBOX_WINDOW * 2 + 1);
    await stage.end();
  });

  it("keeps its own high-water mark: a message below it in the other lane is not void, one in its own is", async () => {
    const stage = new Stage([worker]);
    await stage.open();
    await stage.spawn("worker:a", {}, { scope: "s" });
    await stage.settle(stage.runtime.stop());
    const { database } = stage.disk;
    database.prepare("UPDATE sequence SET value = 2000").run();
    database.prepare("UPDATE actor SET inbox_high = 500, control_high = 1500 WHERE ref = 'worker:a'").run();
    const insert = database.prepare("INSERT INTO outbox (id, sender, receiver, event) VALUES (?, ?, 'worker:a', ?)");
    insert.run(400, "worker:b", JSON.stringify({ type: "add", amount: 1 }));
    insert.run(1000, "worker:b", JSON.stringify({ type: "add", amount: 10 }));
    insert.run(1400, "scope:s", JSON.stringify({ type: "cancel", mode: "grace", reason: "" }));
    await stage.open();
    await stage.environment.advance(1000);
    expect((await stage.heard("worker:a")).map((event) => [event.type, event["amount"]])).toEqual([["add", 10]]);
    expect(stage.runtime.stats().queuedEvents).toBe(0);
    await stage.end();
  });
});

describe("the ordinary lane", () => {
  it("holds no more than its window in memory; the rest is pulled from the outbox, each once and in order", async () => {
    const { stage, sent } = await flooded(FLOOD);
    await stage.settle(sent);
    expect(stage.runtime.stats().queuedEvents).toBeGreaterThanOrEqual(FLOOD - MAILBOX_WINDOW);
    await stage.environment.advance(10_000);
    expect((await stage.heard("leaf:flooded")).map((event) => event["index"])).toEqual(Array.from({ length: FLOOD }, (_, index) => index));
    expect(stage.runtime.stats().queuedEvents).toBe(0);
    await stage.end();
  });

  it("once one message stayed behind lets none overtake it, whatever is pulled when", () => {
    const steps = fc.array(fc.oneof(fc.constant("put" as const), fc.constant("take" as const), fc.constant("pull" as const)), {
      maxLength: 1500,
    });
    fc.assert(
      fc.property(steps, (plan) => {
        const mailbox = new Mailbox("leaf:a");
        const outbox: MessageDelivery[] = [];
        const taken: number[] = [];
        let id = 0;
        const put = (): void => {
          const sent = message(++id, "leaf:b");
          outbox.push(sent);
          mailbox.put(sent);
        };
        const pull = (): void => mailbox.pulled(outbox.filter((sent) => sent.id > mailbox.lastId).slice(0, mailbox.room));
        for (let first = 0; first < MAILBOX_WINDOW + 10; first++) put();
        for (const step of plan) {
          if (step === "put") put();
          else if (step === "pull") pull();
          else taken.push(...ids([mailbox.takeOrdinary()].filter((delivery) => delivery !== undefined)));
          expect(mailbox.length - mailbox.beyond).toBeLessThanOrEqual(MAILBOX_WINDOW);
        }
        while (mailbox.length > 0) {
          pull();
          taken.push(...ids(drained(mailbox)));
        }
        expect(taken).toEqual(outbox.map((sent) => sent.id));
      }),
      { numRuns: 50 },
    );
  });

  it("is pulled again after a crash at any time: nothing that stayed behind is lost or doubled", async () => {
    for (const afterMs of [0, 1, 2, 3, 5, 8]) {
      const { stage, sent } = await flooded(FLOOD);
      await stage.settle(sent);
      await stage.environment.advance(afterMs);
      stage.die("power");
      await stage.open();
      await stage.environment.advance(10_000);
      const indexes = (await stage.heard("leaf:flooded")).map((event) => event["index"]);
      expect(indexes).toEqual(Array.from({ length: FLOOD }, (_, index) => index));
      await stage.end();
    }
  });

  it("of an actor that ended becomes dead letters, also what stayed behind", async () => {
    const { stage, sent } = await flooded(FLOOD);
    const closed = stage.runtime.post("leaf:flooded", { type: "close" }, ORIGIN);
    await stage.settle(Promise.all([sent, closed]));
    await stage.environment.advance(10_000);
    expect(stage.runtime.stats()).toMatchObject({ actors: 2, queuedEvents: 0 });
    const events = (await stage.history("leaf:flooded")).get("leaf:flooded")?.events ?? [];
    expect(events.filter(({ outcome }) => outcome === "dead").length).toBeGreaterThan(FLOOD - MAILBOX_WINDOW * 2);
    await stage.end();
  });
});

describe("turns", () => {
  it("let nobody starve: beside a flooded actor a quiet one is answered after one visit to the other", async () => {
    const stage = new Stage([kind("leaf")]);
    await stage.open();
    for (const ref of ["leaf:flooded", "leaf:quiet"] as const) await stage.spawn(ref);
    const order: string[] = [];
    const post = (ref: ActorRef): Promise<unknown> => stage.runtime.post(ref, { type: "add" }, ORIGIN).then(() => order.push(ref));
    const flood = Array.from({ length: EDGE_ACTOR_MAX }, () => post("leaf:flooded"));
    await stage.settle(Promise.all([...flood, post("leaf:quiet")]));
    expect(order.indexOf("leaf:quiet")).toBe(VISIT_EVENTS_MAX);
    await stage.end();
  });
});

describe("the edge", () => {
  it("refuses what is too much for one actor, and nothing for the others", async () => {
    const stage = new Stage([kind("leaf")]);
    await stage.open();
    for (const ref of ["leaf:flooded", "leaf:quiet"] as const) await stage.spawn(ref);
    const add = (ref: ActorRef): Promise<void> => stage.runtime.post(ref, { type: "add" }, ORIGIN);
    const flood = Array.from({ length: EDGE_ACTOR_MAX + 100 }, () => add("leaf:flooded"));
    const quiet = Array.from({ length: 100 }, () => add("leaf:quiet"));
    const results = await stage.settle(Promise.allSettled(flood));
    const refused = results.filter((result) => result.status === "rejected").map((result) => result.reason as { code: string });
    expect(refused.map(({ code }) => code)).toEqual(Array.from({ length: 100 }, () => "MAILBOX_FULL"));
    await stage.settle(Promise.all(quiet));
    expect(await stage.heard("leaf:flooded")).toHaveLength(EDGE_ACTOR_MAX);
    expect(await stage.heard("leaf:quiet")).toHaveLength(100);
    await stage.end();
  });

  it("that is full takes a cancellation all the same, and it does not wait for the flood", async () => {
    const stage = new Stage([kind("leaf")]);
    await stage.open();
    const refs = Array.from({ length: EDGE_QUEUE_MAX / EDGE_ACTOR_MAX }, (_, index): ActorRef => `leaf:${index}`);
    for (const ref of refs) await stage.spawn(ref, {}, { scope: "flood" });
    const posts = refs.flatMap((ref) => Array.from({ length: EDGE_ACTOR_MAX }, () => stage.runtime.post(ref, { type: "add" }, ORIGIN)));
    const flood = Promise.allSettled(posts);
    await expect(stage.settle(stage.runtime.reserve("n", 1))).rejects.toMatchObject({ code: "MAILBOX_FULL" });
    await stage.settle(stage.runtime.cancelScope("flood", "grace", "enough", ORIGIN));
    const results = await stage.settle(flood);
    expect(results.filter(({ status }) => status === "fulfilled").length).toBeLessThan(EDGE_QUEUE_MAX / 4);
    expect(stage.runtime.stats().actors).toBe(0);
    await stage.end();
  });
});

describe("the refs that were used up", () => {
  it("are found for ever and no others, in at most 43 bytes each", () => {
    const refs = new EndedRefs();
    const count = 20_000;
    for (let index = 0; index < count; index++) refs.add(`leaf:${index}`);
    for (let index = 0; index < count; index++) expect(refs.has(`leaf:${index}`)).toBe(true);
    for (let index = 0; index < count; index++) expect(refs.has(`other:${index}`)).toBe(false);
    refs.add("leaf:7");
    expect(refs.size).toBe(count);
    expect(refs.bytes / count).toBeLessThanOrEqual(43);
  });
});
