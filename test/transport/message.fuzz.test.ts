import { connect as connectSocket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame } from "../../runtime/kernel/frame-codec.ts";
import { isCohortError } from "../../runtime/kernel/error.ts";
import { RpcClient } from "../../runtime/transport/client.ts";
import { messageFromWire, messageToWire, messageType } from "../../runtime/transport/message.ts";
import { RpcServer } from "../../runtime/transport/server.ts";
import { EchoService } from "./echo-service.ts";

const nearlyMessage = fc.array(
  fc.oneof(
    fc.constantFrom(...Object.values(messageType)),
    fc.nat(),
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.uint8Array(),
    fc.constant(null),
    fc.double(),
  ),
  { maxLength: 7 },
);

/** Every value is either refused with FRAME_INVALID or is a message that survives the way there and back. */
function holdsFor(parse: typeof messageFromWire, wire: unknown): boolean {
  let message: ReturnType<typeof messageFromWire>;
  try {
    message = parse(wire);
  } catch (error) {
    return isCohortError(error, "FRAME_INVALID");
  }
  return JSON.stringify(messageToWire(message)) === JSON.stringify(wire);
}

test("any value is refused with FRAME_INVALID or is exactly a message", () => {
  fc.assert(
    fc.property(fc.oneof(nearlyMessage, fc.anything()), (wire) => holdsFor(messageFromWire, wire)),
    { numRuns: 5000 },
  );
});

test("canary: a parser that skips the count of fields is found by the same property", () => {
  const careless: typeof messageFromWire = (wire) =>
    Array.isArray(wire) && wire[0] === messageType.ping ? { type: "ping", number: 1 } : messageFromWire(wire);
  const run = fc.check(
    fc.property(nearlyMessage, (wire) => holdsFor(careless, wire)),
    { numRuns: 5000 },
  );
  expect(run.failed).toBe(true);
});

test("a server lives through whatever bytes connections send", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cohort-fuzz-"));
  const path = join(directory, "s.sock");
  const internal: unknown[] = [];
  const server = new RpcServer({ service: new EchoService(), onInternalError: (error) => internal.push(error) });
  await server.listen(path);
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    nearlyMessage.map((wire) => new Uint8Array(encodeFrame(wire))),
  );
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), async (chunks) => {
        await new Promise<void>((resolve) => {
          const socket = connectSocket(path, () => {
            for (const bytes of chunks) socket.write(bytes);
            socket.end();
          });
          socket.resume();
          socket.on("error", () => socket.destroy());
          socket.on("close", () => resolve());
        });
      }),
      { numRuns: 300 },
    );
    const rpc = await RpcClient.connect(path, 1000);
    expect(await rpc.call("echo", "still here")).toBe("still here");
    rpc.close();
    expect(internal).toEqual([]);
  } finally {
    await server.close(100);
    rmSync(directory, { recursive: true, force: true });
  }
});
