import { mkdtempSync, rmSync, statSync, existsSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeFrame } from "../../runtime/kernel/frame-codec.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { RpcClient } from "../../runtime/transport/client.ts";
import { messageType, WINDOW_BYTES } from "../../runtime/transport/message.ts";
import { RpcServer } from "../../runtime/transport/server.ts";
import { EchoService } from "./echo-service.ts";

let directory = "";
let path = "";
let service = new EchoService();
let server: RpcServer;
const clients: RpcClient[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "cohort-rpc-"));
  path = join(directory, "s.sock");
  service = new EchoService();
  server = new RpcServer({ service, onInternalError: (error) => service.internalErrors.push(error) });
  await server.listen(path);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close(100);
  rmSync(directory, { recursive: true, force: true });
});

async function client(): Promise<RpcClient> {
  const made = await RpcClient.connect(path, 1000);
  clients.push(made);
  return made;
}

function rawSocket(): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connectSocket(path, () => resolve(socket));
    socket.on("error", () => undefined);
    sockets.push(socket);
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within 5 s: ${what}`);
}

describe("calls", () => {
  test("answers come back to the call that asked, many at a time", async () => {
    const rpc = await client();
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, number) => rpc.call("echo", { number })));
    expect(answers).toEqual(Array.from({ length: 1000 }, (_, number) => ({ number })));
  });

  test("a typed error keeps its code, message and hint", async () => {
    const error = await (await client()).call("refuse", null).catch((reason: unknown) => reason);
    expect(isCohortError(error, "RUN_UNKNOWN")).toBe(true);
    expect(error).toMatchObject({ message: "no such run: abcd", hint: "look elsewhere", retryable: false });
  });

  test("a bug in a handler is INTERNAL for the caller and is reported to the server's log", async () => {
    await expect((await client()).call("bug", null)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(service.internalErrors).toHaveLength(1);
  });

  test("a call that is not answered ends with DEADLINE on both sides", async () => {
    await expect((await client()).call("never", null, { timeoutMs: 50 })).rejects.toMatchObject({ code: "DEADLINE" });
    await until(() => service.aborted === 1, "the handler's signal aborts");
  });

  test("an abort ends the call with CANCELLED and tells the handler", async () => {
    const abort = new AbortController();
    const call = (await client()).call("never", null, { signal: abort.signal });
    setTimeout(() => abort.abort(), 20);
    await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
    await until(() => service.aborted === 1, "the handler's signal aborts");
  });

  test("a message larger than a frame travels whole, both ways", async () => {
    const big = new Uint8Array(9 * 1024 ** 2).map((_, position) => position % 251);
    const answer = await (await client()).call("echo", { big });
    expect(Buffer.compare((answer as { big: Uint8Array }).big, big)).toBe(0);
  });

  test("a message that no peer would take is refused where it is made, and the connection lives", async () => {
    const rpc = await client();
    await expect(rpc.call("echo", new Uint8Array(70 * 1024 ** 2))).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(rpc.call("unsendable", null)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    expect(await rpc.call("echo", 1)).toBe(1);
  });

  test("nothing listening is DAEMON_UNREACHABLE", async () => {
    await expect(RpcClient.connect(join(directory, "none.sock"), 500)).rejects.toMatchObject({ code: "DAEMON_UNREACHABLE" });
  });
});

describe("streams", () => {
  test("items come once, in order, and end", async () => {
    const numbers: number[] = [];
    for await (const item of (await client()).open("count", { until: 2000, bytes: 1000 }))
      numbers.push((item as { number: number }).number);
    expect(numbers).toEqual(Array.from({ length: 2000 }, (_, number) => number));
  });

  test("a reader that does not read stops the producer within the window", async () => {
    const stream = (await client()).open("count", { until: 100_000, bytes: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(service.produced).toBeGreaterThan(1);
    expect(service.produced * 10_000).toBeLessThan(WINDOW_BYTES + 3 * 10_100);
    stream.cancel();
  });

  test("one item larger than the window passes", async () => {
    const sizes: number[] = [];
    for await (const item of (await client()).open("count", { until: 3, bytes: 6 * 1024 ** 2 }))
      sizes.push((item as { padding: Uint8Array }).padding.length);
    expect(sizes).toEqual([6 * 1024 ** 2, 6 * 1024 ** 2, 6 * 1024 ** 2]);
  });

  test("a slow reader on one stream delays neither another stream nor a call of the same connection", async () => {
    const rpc = await client();
    const slow = rpc.open("count", { until: 100_000, bytes: 50_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    let seen = 0;
    for await (const item of rpc.open("count", { until: 500, bytes: 1000 })) seen += (item as { number: number }).number >= 0 ? 1 : 0;
    expect(seen).toBe(500);
    expect(await rpc.call("echo", "here", { timeoutMs: 1000 })).toBe("here");
    slow.cancel();
  });

  test("a connection that reads nothing at all does not hold up another one", async () => {
    const stuck = await rawSocket();
    stuck.pause();
    for (let id = 1; id <= 100; id += 1)
      stuck.write(encodeFrame([messageType.open, id, "count", { until: 100_000, bytes: 60_000 }, 1024 ** 3]));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const produced = service.produced;
    expect(produced * 60_000).toBeLessThan(40 * 1024 ** 2);
    expect(await (await client()).call("echo", "alive", { timeoutMs: 1000 })).toBe("alive");
  });

  test("leaving the loop cancels the handler", async () => {
    const rpc = await client();
    for await (const item of rpc.open("count", { until: 1_000_000, bytes: 100 })) if ((item as { number: number }).number === 10) break;
    const produced = service.produced;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(service.produced - produced).toBeLessThan(WINDOW_BYTES / 100 + 100);
    expect(service.produced).toBeLessThan(10_000);
  });

  test("an abort ends a stream that is silent, even one whose handler ignores its signal", async () => {
    const rpc = await client();
    for (const method of ["silent", "deaf"]) {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), 20);
      const reading = (async () => {
        for await (const _ of rpc.open(method, null, abort.signal)) throw new Error("an item came");
      })();
      await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
    }
    await until(() => service.aborted === 1, "the handler's signal aborts");
  });

  test("a duplex stream takes the client's items and its end", async () => {
    const stream = (await client()).open("shout", null);
    const items: unknown[] = [];
    const reading = (async () => {
      for await (const item of stream) items.push(item);
    })();
    for (const word of ["a", "b", "c"]) await stream.write(word);
    stream.end();
    await reading;
    expect(items).toEqual(["a!", "b!", "c!", "end of input"]);
  });

  test("a handler that reads slowly slows the client's writes", async () => {
    const stream = (await client()).open("leave", null);
    let written = 0;
    const writing = (async () => {
      for (let number = 0; number < 100; number += 1) {
        await stream.write(new Uint8Array(100_000));
        written += 1;
      }
    })().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(written).toBeLessThan(8);
    stream.cancel();
    await writing;
  });

  test("a server that closes ends streams with TRANSPORT_CLOSED and lets a call in flight finish", async () => {
    const rpc = await client();
    const stream = rpc.open("silent", null);
    const reading = (async () => {
      for await (const _ of stream) throw new Error("an item came");
    })();
    const checked = expect(reading).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    await until(() => server.connections === 1, "connected");
    const call = rpc.call("echo", "last words");
    await new Promise((resolve) => setTimeout(resolve, 20));
    await server.close(1000);
    expect(await call).toBe("last words");
    await checked;
    expect(existsSync(path)).toBe(false);
    await expect(rpc.call("echo", 1)).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    server = new RpcServer({ service, onInternalError: () => undefined });
    await server.listen(path);
  });
});

describe("malformed input", () => {
  const malformed: Readonly<Record<string, Buffer>> = {
    "bytes that are no frame": Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    "a length above the cap": Buffer.from([0x7f, 0, 0, 0]),
    "a length of zero": Buffer.from([0, 0, 0, 0]),
    "a frame that is no message": encodeFrame({ hello: 1 }),
    "an unknown type": encodeFrame([99, 1]),
    "too many fields": encodeFrame([messageType.cancel, 1, 2]),
    "an id of 0": encodeFrame([messageType.call, 0, "echo", null, 0]),
    "a fractional id": encodeFrame([messageType.call, 1.5, "echo", null, 0]),
    "a method that is no text": encodeFrame([messageType.call, 1, 7, null, 0]),
    "credit for a stream that never was": encodeFrame([messageType.credit, 5, 100]),
    "a used id": Buffer.concat([encodeFrame([messageType.call, 1, "echo", null, 0]), encodeFrame([messageType.call, 1, "echo", null, 0])]),
    "a message of the server's": encodeFrame([messageType.answer, 1, null]),
    "an item without credit": Buffer.concat([
      encodeFrame([messageType.open, 1, "silent", null, 1]),
      ...[1, 2].map(() => encodeFrame([messageType.item, 1, encodeFrame(new Uint8Array(300_000))])),
    ]),
    "a message within parts": Buffer.concat([encodeFrame([messageType.part, Buffer.from([0]), false]), encodeFrame([messageType.ping, 1])]),
    "parts that are no message": encodeFrame([messageType.part, Buffer.from([0, 0, 0, 1, 5]), true]),
  };

  test.each(Object.entries(malformed))("%s closes that connection and no other", async (_, bytes) => {
    const rpc = await client();
    const stream = rpc.open("silent", null);
    const bad = await rawSocket();
    const closed = new Promise((resolve) => bad.once("close", resolve));
    bad.resume();
    bad.write(bytes);
    await closed;
    expect(await rpc.call("echo", "well")).toBe("well");
    stream.cancel();
    await until(() => service.closedSessions === 1, "its session is told");
  });
});

test("the socket is private and replaces a stale one", async () => {
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const again = new RpcServer({ service, onInternalError: () => undefined });
  await again.listen(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await again.close(10);
});
