/** A peer that plays the warden by a script: it answers what the test says, and keeps what it was sent. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame, FrameDecoder } from "../../runtime/kernel/frame-codec.ts";
import type { WardenFrame } from "../../vm/wire/frames.ts";
import { wardenFrameFields } from "../../vm/wire/warden-frame.ts";

export const helloOk: WardenFrame = {
  type: "helloOk",
  version: 2,
  nameMax: 63,
  identity: {
    wardenId: "w1",
    binarySha256: "abc",
    features: ["pty"],
    sandboxesMax: 4096,
    windowBytesMax: 1 << 20,
    memoryBytesTotal: 1 << 30,
  },
};

export interface Peer {
  readonly socket: Socket;
  send(...frames: readonly WardenFrame[]): void;
}

export class ScriptedWarden {
  readonly path: string;
  readonly received: (readonly unknown[])[] = [];
  /** Chunks that the socket gave, as a measure of how writes were batched. */
  reads = 0;
  readonly #directory = mkdtempSync(join(tmpdir(), "scripted-warden-"));
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(script: (frame: readonly unknown[], peer: Peer) => void) {
    this.path = join(this.#directory, "warden.sock");
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      const decoder = new FrameDecoder(1 << 20);
      const peer: Peer = {
        socket,
        send: (...frames) => {
          socket.write(Buffer.concat(frames.map((frame) => encodeFrame(wardenFrameFields(frame)))));
        },
      };
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", (chunk: Buffer) => {
        this.reads += 1;
        for (const frame of decoder.push(chunk)) {
          if (!Array.isArray(frame)) throw new Error("the supervisor sent no array");
          this.received.push(frame);
          script(frame, peer);
        }
      });
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.path, resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
