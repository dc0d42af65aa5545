import { afterEach, describe, expect, test, vi } from "vitest";
import type { Vm } from "../../vm/backend.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { RecordedEvents } from "./recorded-events.ts";
import { helloOk, ScriptedWarden, type Peer } from "./scripted-warden.ts";

const options = { supervisorId: "test", freezeAfterMs: 60_000, killAfterMs: 120_000 };
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

type Script = (frame: readonly unknown[], peer: Peer) => void;

async function connected(
  script: Script,
  events = new RecordedEvents(),
  changed: Partial<typeof options> = {},
): Promise<{ warden: ScriptedWarden; vm: Vm; events: RecordedEvents }> {
  const warden = await listening((frame, peer) => (frame[0] === 1 ? peer.send(helloOk) : script(frame, peer)));
  const vm = await connectWarden(warden.path, { ...options, ...changed }, events);
  cleanups.push(() => vm.close());
  return { warden, vm, events };
}

async function listening(script: Script): Promise<ScriptedWarden> {
  const warden = new ScriptedWarden(script);
  cleanups.push(() => warden.close());
  await warden.listen();
  return warden;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isCohortError(error) ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "resolved";
}

function answerOk(frame: readonly unknown[], peer: Peer, values: readonly unknown[] = []): void {
  peer.send({ type: "ok", seq: Number(frame[1]), values });
}

describe("connecting", () => {
  test("tells who the warden is", async () => {
    const { vm, warden } = await connected(() => {});
    expect(vm.identity).toEqual(helloOk.type === "helloOk" ? helloOk.identity : null);
    expect(warden.received).toEqual([[1, 2, "test", 60_000, 120_000]]);
  });

  test("to a path where nothing listens is WARDEN_ABSENT", async () => {
    expect(await codeOf(connectWarden("/nonexistent/warden.sock", options, new RecordedEvents()))).toBe("WARDEN_ABSENT");
  });

  test("to a socket file that a dead warden left behind is WARDEN_ABSENT", async () => {
    expect(await codeOf(connectWarden("/dev/null", options, new RecordedEvents()))).toBe("WARDEN_ABSENT");
  });

  test("is refused with the warden's own words", async () => {
    const warden = await listening((_, peer) =>
      peer.send({ type: "error", seq: 0, code: "NOT_AUTHORIZED", message: "uid 5 is not uid 6", errno: 0 }),
    );
    const attempt = connectWarden(warden.path, options, new RecordedEvents());
    await expect(attempt).rejects.toMatchObject({
      code: "WARDEN_REFUSED",
      message: expect.stringContaining("NOT_AUTHORIZED: uid 5 is not uid 6"),
    });
  });

  test("to a peer that hangs up instead of saying hello is WARDEN_GONE", async () => {
    const warden = await listening((_, peer) => peer.socket.destroy());
    expect(await codeOf(connectWarden(warden.path, options, new RecordedEvents()))).toBe("WARDEN_GONE");
  });

  test("to a peer that never says hello ends at the deadline", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    cleanups.push(() => void vi.useRealTimers());
    const warden = await listening(() => vi.advanceTimersByTime(10_000));
    expect(await codeOf(connectWarden(warden.path, options, new RecordedEvents()))).toBe("DEADLINE");
  });

  test("delivers what came together with the hello only after the caller has its Vm", async () => {
    const events = new RecordedEvents();
    const seen: string[] = [];
    events.onOutput = () => seen.push("output");
    const warden = await listening((_, peer) => {
      peer.send(helloOk, { type: "data", name: "a", execId: 1, stream: 1, offset: 0, bytes: Buffer.from("x"), fin: true });
    });
    const vm = await connectWarden(warden.path, options, events);
    cleanups.push(() => vm.close());
    seen.push("connected");
    await events.until("the output", () => events.chunks.length > 0);
    expect(seen).toEqual(["connected", "output"]);
  });
});

describe("requests", () => {
  test("are matched to their answers in any order", async () => {
    const waiting: (readonly unknown[])[] = [];
    const { vm } = await connected((frame, peer) => {
      waiting.push(frame);
      if (waiting.length < 3) return;
      for (const one of waiting.toReversed()) answerOk(one, peer, one[0] === 11 ? [1, 2, 3, 4, 5, 6, 7] : one[0] === 12 ? [1, 1] : []);
    });
    const [stats, probe] = await Promise.all([vm.stats("a"), vm.probe("a"), vm.freeze("a")]);
    expect(stats.pids).toBe(3);
    expect(probe).toEqual({ inside: ["uid"], outside: ["uid"] });
  });

  test("that the warden refuses reject with the mapped code", async () => {
    const { vm } = await connected((frame, peer) => {
      peer.send({ type: "error", seq: Number(frame[1]), code: "SETUP_FAILED", message: "mount: No space left on device", errno: 28 });
    });
    expect(await codeOf(vm.kill("a"))).toBe("SANDBOX_FAILED");
  });

  test("without an answer reject at their deadline, and a late answer is told as a notice", async () => {
    let answerLate = (): void => {};
    const { vm, events } = await connected((frame, peer) => {
      answerLate = () => answerOk(frame, peer);
      vi.advanceTimersByTime(9_999);
      expect(settled).toBe("waits");
      vi.advanceTimersByTime(1);
    });
    let settled = "waits";
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const freeze = vm.freeze("a");
    settled = await codeOf(freeze);
    vi.useRealTimers();
    expect(settled).toBe("DEADLINE");
    answerLate();
    await events.until("the notice", () => events.notices.some(([, kind]) => kind === "late-answer"));
  });

  test("that cannot be a frame reject without harm to the connection", async () => {
    const { vm } = await connected((frame, peer) => answerOk(frame, peer));
    expect(await codeOf(vm.freeze("../../etc"))).toBe("REQUEST_INVALID");
    expect(await codeOf(vm.freeze("a"))).toBe("resolved");
  });

  test("in flight reject with WARDEN_GONE when the connection ends, and so do later ones", async () => {
    const { vm, events } = await connected((_, peer) => peer.socket.destroy());
    expect(await codeOf(vm.freeze("a"))).toBe("WARDEN_GONE");
    await events.until("closed", () => events.closedBy);
    expect(await codeOf(vm.thaw("a"))).toBe("WARDEN_GONE");
    vm.ackOutput("a", 1, "stdout", 5);
  });

  test("after close reject with WARDEN_GONE, and the owner's own close is not told as an event", async () => {
    const { vm, events } = await connected(() => {});
    const waiting = codeOf(vm.freeze("a"));
    vm.close();
    expect(await waiting).toBe("WARDEN_GONE");
    expect(await codeOf(vm.list())).toBe("WARDEN_GONE");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(events.closedBy).toBeNull();
  });
});

describe("the connection", () => {
  test.each([
    ["bytes that are no frame", Buffer.from([0, 0, 0, 1, 0xc1])],
    ["a frame that breaks the wire's rules", Buffer.from([0, 0, 0, 2, 0x91, 0x10])],
    ["a frame over the cap", Buffer.from([0xff, 0, 0, 0])],
  ])("ends on %s", async (_, bytes) => {
    const { vm, events } = await connected((_frame, peer) => void peer.socket.write(bytes));
    expect(await codeOf(vm.freeze("a"))).toBe("WARDEN_GONE");
    expect(events.closedBy).toMatchObject({ code: "FRAME_INVALID" });
  });

  test("ends when a handler throws, and says why", async () => {
    const events = new RecordedEvents();
    const { vm } = await connected((_, peer) => peer.send({ type: "event", name: "a", kind: "thawed", detail: "" }), events);
    events.notice = () => {
      throw new Error("a bug in the handler");
    };
    expect(await codeOf(vm.freeze("a"))).toBe("WARDEN_GONE");
    expect(events.closedBy).toMatchObject({ message: "a bug in the handler" });
  });

  test("renews the lease on a timer", async () => {
    const { warden } = await connected(() => {}, new RecordedEvents(), { freezeAfterMs: 90 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(warden.received.filter((frame) => frame[0] === 16).length).toBeGreaterThanOrEqual(3);
  });

  test("splits a long stdin into frames with running offsets, fin on the last only", async () => {
    const bytes = Buffer.alloc(150_000, 1);
    const { vm, warden } = await connected((frame, peer) => answerOk(frame, peer));
    vm.writeStdin("a", 1, 1000, bytes, true);
    vm.writeStdin("a", 1, 151_000, Buffer.alloc(0), true);
    await expect.poll(() => warden.received.length).toBe(5);
    const data = warden.received.slice(1).map((frame) => ({ offset: frame[4], length: (frame[5] as Buffer).length, fin: frame[6] }));
    expect(data).toEqual([
      { offset: 1000, length: 65_536, fin: false },
      { offset: 66_536, length: 65_536, fin: false },
      { offset: 132_072, length: 18_928, fin: true },
      { offset: 151_000, length: 0, fin: true },
    ]);
  });

  test("sends a thousand acks of one tick in a few writes", async () => {
    const { vm, warden } = await connected((frame, peer) => answerOk(frame, peer));
    for (let index = 0; index < 1000; index += 1) vm.ackOutput("a", 1, "stdout", index);
    await expect.poll(() => warden.received.length).toBe(1001);
    expect(warden.reads).toBeLessThan(20);
  });

  test("takes twenty thousand data frames and acks each for less than two seconds of processor time, with its peer", async () => {
    const events = new RecordedEvents();
    const bytes = Buffer.alloc(512, 7);
    const { vm } = await connected((frame, peer) => {
      if (frame[0] !== 8) return;
      for (let burst = 0; burst < 200; burst += 1) {
        peer.send(
          ...Array.from({ length: 100 }, (_, index) => ({
            type: "data" as const,
            name: "a",
            execId: 1,
            stream: 1 as const,
            offset: (burst * 100 + index) * 512,
            bytes,
            fin: false,
          })),
        );
      }
      answerOk(frame, peer);
    }, events);
    let received = 0;
    events.output = (chunk) => {
      received += 1;
      vm.ackOutput("a", 1, "stdout", chunk.offset + 512);
    };
    const started = process.cpuUsage();
    await vm.freeze("a");
    expect(received).toBe(20_000);
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
  });
});
