/** A small service for the transport's tests: each method shows one behaviour. */
import { CohortError } from "../../runtime/kernel/error.ts";
import type { RpcPeer, RpcService, RpcSession } from "../../runtime/transport/server-connection.ts";

export class EchoService implements RpcService {
  produced = 0;
  aborted = 0;
  closedSessions = 0;
  readonly internalErrors: unknown[] = [];

  connect(peer: RpcPeer): RpcSession {
    peer.trust();
    return {
      call: (method, params, signal) => this.#call(method, params, signal),
      stream: (method, params, input, signal) => this.#stream(method, params, input, signal),
      closed: () => {
        this.closedSessions += 1;
      },
    };
  }

  async #call(method: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    switch (method) {
      case "echo":
        return params;
      case "refuse":
        throw new CohortError("RUN_UNKNOWN", { on: "abcd", hint: "look elsewhere" });
      case "bug":
        throw new TypeError("a bug");
      case "never":
        await aborted(signal);
        this.aborted += 1;
        return null;
      case "unsendable":
        return new Uint8Array(70 * 1024 ** 2);
      default:
        throw new CohortError("REQUEST_INVALID", { on: method });
    }
  }

  async *#stream(method: string, params: unknown, input: AsyncIterable<unknown>, signal: AbortSignal): AsyncIterable<unknown> {
    switch (method) {
      case "count": {
        const { until, bytes } = params as { until: number; bytes: number };
        const padding = new Uint8Array(bytes);
        for (let number = 0; number < until && !signal.aborted; number += 1) {
          this.produced += 1;
          yield { number, padding };
        }
        return;
      }
      case "silent":
        await aborted(signal);
        this.aborted += 1;
        return;
      case "deaf":
        await new Promise(() => undefined);
        return;
      case "shout":
        for await (const item of input) yield `${String(item)}!`;
        yield "end of input";
        return;
      case "leave":
        for await (const item of input) {
          yield item;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        return;
      default:
        throw new CohortError("REQUEST_INVALID", { on: method });
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
