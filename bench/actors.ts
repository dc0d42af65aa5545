/** `actors`: what an event costs when it is durable, what an idle actor weighs, how fast ten thousand start and end; beside what has none of it durable. */
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Origin, Runtime } from "../runtime/contract.ts";
import type { ActorRef } from "../runtime/kernel/actions.ts";
import { openRuntime } from "../runtime/runtime.ts";
import { erlang, type Erlang } from "./actors-erlang.ts";
import { definitions, xstateMs } from "./actors-machines.ts";
import { atLeast, atMost, percentile, rounded, type Measurement } from "./result.ts";

interface Size {
  readonly rounds: number;
  readonly transitionsMs: number;
  readonly actors: number;
  readonly messages: number;
}

const FULL: Size = { rounds: 5, transitionsMs: 3000, actors: 10_000, messages: 200_000 };
const SMALL: Size = { rounds: 1, transitionsMs: 300, actors: 500, messages: 10_000 };
const RING = 64;
const WARM_UP_MS = 500;
const WAIT_MS_MAX = 60_000;
const origin: Origin = { surface: "test", device: "bench" };

type Samples = Record<
  | "transitionsPerSecond"
  | "postsPerSecond"
  | "loopDelayP99Ms"
  | "startMs"
  | "cancelMs"
  | "idleBytes"
  | "xstateUs"
  | "emitterUs"
  | "erlangUs"
  | "erlangStartMs"
  | "erlangKillMs",
  number[]
>;

async function withRuntime(work: (runtime: Runtime) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "cohort-actors-"));
  const runtime = await openRuntime({ directory, definitions, effects: [] });
  try {
    await work(runtime);
  } finally {
    await runtime.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, condition: () => boolean): Promise<void> {
  const endAt = performance.now() + WAIT_MS_MAX;
  while (!condition()) {
    if (performance.now() > endAt) throw new Error(`not within ${WAIT_MS_MAX} ms: ${what}`);
    await pause(1);
  }
}

/** A ring of actors, each with one message on its way; what is counted is durable. */
async function transitions(runtime: Runtime, forMs: number, samples: Samples): Promise<void> {
  const ref = (index: number): ActorRef => `player:${index % RING}`;
  for (let index = 0; index < RING; index++) await runtime.spawn(ref(index), { next: ref(index + 1) }, { origin });
  await Promise.all(Array.from({ length: RING }, (_, index) => runtime.post(ref(index), { type: "ball" }, origin)));
  await pause(Math.min(WARM_UP_MS, forMs));
  const before = runtime.stats();
  const startedAt = performance.now();
  await pause(forMs);
  const after = runtime.stats();
  const seconds = (performance.now() - startedAt) / 1000;
  samples.transitionsPerSecond.push(rounded((after.committedEvents - before.committedEvents) / seconds));
  samples.loopDelayP99Ms.push(rounded(after.eventLoopDelayP99Ms));
}

/** As many clients, each of which waits for the durable answer to one request before it makes the next. */
async function posts(runtime: Runtime, forMs: number, samples: Samples): Promise<void> {
  const endAt = performance.now() + forMs;
  let answered = 0;
  const client = async (index: number): Promise<void> => {
    const ref: ActorRef = `player:${index}`;
    await runtime.spawn(ref, { next: ref }, { origin });
    while (performance.now() < endAt) {
      await runtime.post(ref, { type: "idle" }, origin);
      answered++;
    }
  };
  await Promise.all(Array.from({ length: RING }, (_, index) => client(index)));
  samples.postsPerSecond.push(rounded(answered / (forMs / 1000)));
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
}

function heapBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** One parent starts them, one cancellation ends them; both until the last of it is durable. */
async function startAndCancel(runtime: Runtime, count: number, samples: Samples): Promise<void> {
  await runtime.spawn("parent:one", null, { origin, scope: "all" });
  const beforeBytes = heapBytes();
  runtime.stats();
  const startedAt = performance.now();
  await runtime.post("parent:one", { type: "start", count }, origin);
  await until("all have started", () => runtime.stats().actors === count + 1);
  await runtime.reserve("barrier", 1);
  samples.startMs.push(rounded(performance.now() - startedAt));
  await pause(500);
  samples.idleBytes.push(rounded((heapBytes() - beforeBytes) / count));
  runtime.stats();
  const cancelledAt = performance.now();
  await runtime.cancelScope("all", "grace", "bench", origin);
  await until("all have ended", () => runtime.stats().actors === 0);
  await runtime.reserve("barrier", 1);
  samples.cancelMs.push(rounded(performance.now() - cancelledAt));
}

function emitterMs(messages: number): number {
  const [left, right] = [new EventEmitter(), new EventEmitter()];
  let count = 0;
  // A listener that emits would recurse: each message is one emit, as an event in a loop is.
  left.on("ball", () => void count++);
  right.on("ball", () => void count++);
  const startedAt = performance.now();
  for (let message = 0; message < messages; message++) (message % 2 === 0 ? left : right).emit("ball", message);
  if (count !== messages) throw new Error("an emitter lost a message");
  return performance.now() - startedAt;
}

function peers(size: Size, peer: Erlang, samples: Samples): void {
  // Two actors of xstate recurse a little with each message: in portions the stack stays flat.
  const portion = 1000;
  let ms = 0;
  for (let sent = 0; sent < size.messages / 10; sent += portion) ms += xstateMs(portion);
  samples.xstateUs.push(rounded((ms / (size.messages / 10)) * 1000));
  samples.emitterUs.push(rounded((emitterMs(size.messages) / size.messages) * 1000));
  const round = peer.round(size.messages, size.actors);
  if (round === null) return;
  samples.erlangUs.push(rounded(round.pingPongUs));
  samples.erlangStartMs.push(rounded(round.spawnMs));
  samples.erlangKillMs.push(rounded(round.killMs));
}

async function measure(size: Size): Promise<{ readonly samples: Samples; readonly peer: Erlang["peer"] }> {
  const samples: Samples = {
    transitionsPerSecond: [],
    postsPerSecond: [],
    loopDelayP99Ms: [],
    startMs: [],
    cancelMs: [],
    idleBytes: [],
    xstateUs: [],
    emitterUs: [],
    erlangUs: [],
    erlangStartMs: [],
    erlangKillMs: [],
  };
  const peer = erlang();
  try {
    for (let round = 0; round < size.rounds; round++) {
      await withRuntime((runtime) => transitions(runtime, size.transitionsMs, samples));
      await withRuntime((runtime) => posts(runtime, size.transitionsMs, samples));
      await withRuntime((runtime) => startAndCancel(runtime, size.actors, samples));
      peers(size, peer, samples);
    }
  } finally {
    peer.close();
  }
  return { samples, peer: peer.peer };
}

/** `COHORT_BENCH=small` proves that the bench runs; its figures say nothing. */
export async function measureActors(): Promise<Measurement> {
  const size = process.env["COHORT_BENCH"] === "small" ? SMALL : FULL;
  const { samples, peer } = await measure(size);
  const median = (name: keyof Samples): number => rounded(percentile(samples[name], 50));
  const perSecond = median("transitionsPerSecond");
  const durableUs = rounded(1_000_000 / perSecond);
  const idleKilobytes = rounded(median("idleBytes") / 1000);
  return {
    figures: {
      transitionsPerSecond: perSecond,
      postsPerSecond: median("postsPerSecond"),
      idleBytes: median("idleBytes"),
      startMs: median("startMs"),
      cancelMs: median("cancelMs"),
      eventLoopDelayP99Ms: median("loopDelayP99Ms"),
      durableMessageUs: durableUs,
      xstateMessageUs: median("xstateUs"),
      emitterMessageUs: median("emitterUs"),
      erlangMessageUs: median("erlangUs"),
      erlangStartMs: median("erlangStartMs"),
      erlangKillMs: median("erlangKillMs"),
      durableToXstate: rounded(durableUs / median("xstateUs")),
    },
    samples,
    goals: [
      atLeast(`journaled transitions at ${RING} actors`, "a second", 10_000, perSecond),
      atMost("an idle actor", "KB", 20, idleKilobytes),
      atMost(`${size.actors} children started`, "ms", 2000, median("startMs")),
      atMost(`${size.actors} children cancelled`, "ms", 2000, median("cancelMs")),
      atMost("event loop delay p99 under transitions", "ms", 20, median("loopDelayP99Ms")),
    ],
    peers: [
      peer,
      { name: "xstate", version: "5, as installed", how: "two actors that send to each other in one process; nothing is durable" },
      { name: "EventEmitter", version: `Node ${process.versions.node}`, how: "two emitters, one listener each; nothing is durable" },
    ],
    notMeasured: [
      "a message of Erlang, xstate or an emitter is lost with its process: the peers say what durability costs, not who is better at one thing",
      "the weight of an idle actor is that of the JavaScript heap; its row in the journal is not counted",
    ],
  };
}
