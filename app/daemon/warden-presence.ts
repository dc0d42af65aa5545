/** Connects to the warden for the actors, and knows whether one is there: a run that cannot begin is refused at once, with what to do. */
import { CohortError } from "../../runtime/kernel/error.ts";
import { isListening } from "../../sdk/listening.ts";
import type { Vm, VmConnectOptions, VmEvents } from "../../vm/backend.ts";
import { connectWarden } from "../../vm/host/warden-connection.ts";

export class WardenPresence {
  readonly #socket: string;
  readonly #options: VmConnectOptions;
  #connections = 0;

  constructor(socket: string, options: VmConnectOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  readonly connect = async (events: VmEvents): Promise<Vm> => {
    const vm = await connectWarden(this.#socket, this.#options, {
      ...events,
      closed: (reason) => {
        this.#connections -= 1;
        events.closed(reason);
      },
    });
    this.#connections += 1;
    return vm;
  };

  /** Rejects with WARDEN_ABSENT. One that listens and is not connected yet is about to be. */
  async require(): Promise<void> {
    if (this.#connections > 0 || (await isListening(this.#socket))) return;
    throw new CohortError("WARDEN_ABSENT", { on: this.#socket });
  }
}
