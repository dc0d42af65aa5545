/**
 * One client's connection: its hello, then its requests to the actors.
 *
 * Owns who the client said it is (its origin, which goes along with every command). Does not own runs or children.
 *
 * D1 nothing but hello is answered before the token was right; a wrong token, or none in time, ends the connection.
 * D2 a client of another version may only ask the daemon to stop.
 * D3 every request passes its schema first.
 */
import { CohortError } from "../../runtime/kernel/error.ts";
import type { Origin } from "../../runtime/contract.ts";
import type { RpcPeer, RpcSession } from "../../runtime/transport/server-connection.ts";
import { API_VERSION, calls, helloSchema, streams, type CallName, type DoctorRow, type StreamName } from "../../machines/messages/api.ts";
import type { System } from "../../actors/contract.ts";
import { boundedEvents, boundedPage } from "./results-page.ts";
import { answerChild } from "./child-requests.ts";
import { answerPermission } from "./permission-requests.ts";
import { journalRow } from "./doctor-rows.ts";
import { answerJournal } from "./journal-requests.ts";
import { parseRequest, parseStartRequest } from "./request.ts";
import { isSameToken } from "./token.ts";

const HELLO_TIMEOUT_MS = 5000;

export interface SessionContext {
  readonly system: System;
  readonly token: string;
  /** Random for each start of the daemon. */
  readonly instance: string;
  /** Rejects with WARDEN_ABSENT when no child can be made. */
  requireWarden(): Promise<void>;
  requestStop(): void;
  /** What the daemon itself has to tell the doctor. */
  readonly supervision: readonly DoctorRow[];
}

export class ClientSession implements RpcSession {
  readonly #context: SessionContext;
  readonly #peer: RpcPeer;
  readonly #helloTimer: NodeJS.Timeout;
  #state: "unknown" | "other-version" | "greeted" = "unknown";
  #origin: Origin = { surface: "sdk", device: "" };

  constructor(peer: RpcPeer, context: SessionContext) {
    this.#peer = peer;
    this.#context = context;
    this.#helloTimer = setTimeout(() => peer.close(), HELLO_TIMEOUT_MS);
    this.#helloTimer.unref();
  }

  closed(): void {
    clearTimeout(this.#helloTimer);
  }

  async call(method: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    if (!Object.hasOwn(calls, method)) throw new CohortError("REQUEST_INVALID", { on: `there is no call ${method}` });
    const name = method as CallName;
    if (name === "hello") return this.#hello(params);
    this.#requireGreeting(name);
    return this.#answer(name, params, signal);
  }

  stream(method: string, params: unknown, input: AsyncIterable<unknown>, signal: AbortSignal): AsyncIterable<unknown> {
    if (!Object.hasOwn(streams, method)) throw new CohortError("REQUEST_INVALID", { on: `there is no stream ${method}` });
    const name = method as StreamName;
    this.#requireGreeting(null);
    const { system } = this.#context;
    switch (name) {
      case "run.watch": {
        const { run, after } = parseRequest(streams[name], params);
        return system.watch(run, after, signal);
      }
      case "journal.verify":
        return system.journal.verify(signal);
      case "task.logs":
        return system.logs(parseRequest(streams[name], params), signal);
      case "content.read":
        return system.read(parseRequest(streams[name], params), signal);
      case "approval.watch":
        return system.approvals.watch(parseRequest(streams[name], params).run, signal);
      case "child.exec":
        return system.exec({ ...parseRequest(streams[name], params), stdin: bytesOf(input) }, signal);
    }
  }

  #hello(params: unknown): { readonly version: number; readonly pid: number; readonly instance: string } {
    const { version, token, origin } = parseRequest(helloSchema, params);
    if (!isSameToken(this.#context.token, token)) {
      setImmediate(() => this.#peer.close());
      throw new CohortError("NOT_AUTHORIZED", { on: "the token is wrong" });
    }
    clearTimeout(this.#helloTimer);
    const { surface, device, pid } = origin;
    this.#origin = pid === undefined ? { surface, device } : { surface, device, pid };
    if (version !== API_VERSION) {
      this.#state = "other-version";
      throw new CohortError("DAEMON_VERSION", { on: `it speaks version ${API_VERSION}, this client ${version}` });
    }
    this.#state = "greeted";
    this.#peer.trust();
    return { version: API_VERSION, pid: process.pid, instance: this.#context.instance };
  }

  #requireGreeting(name: CallName | null): void {
    if (this.#state === "greeted" || (this.#state === "other-version" && name === "daemon.stop")) return;
    throw new CohortError("NOT_AUTHORIZED", { on: "hello comes first" });
  }

  async #answer(name: Exclude<CallName, "hello">, params: unknown, signal: AbortSignal): Promise<unknown> {
    const { system } = this.#context;
    switch (name) {
      case "run.start": {
        const { spec, key } = await parseStartRequest(params);
        await this.#context.requireWarden();
        signal.throwIfAborted();
        return system.startRun(spec, key, this.#origin);
      }
      case "run.resume": {
        const { run, key } = parseRequest(calls[name], params);
        await this.#context.requireWarden();
        signal.throwIfAborted();
        return system.resumeRun(run, key, this.#origin);
      }
      case "run.get":
        return system.run(parseRequest(calls[name], params).run);
      case "run.list":
        return { runs: await system.runs(parseRequest(calls[name], params).limit) };
      case "run.results": {
        const { run, after, limit } = parseRequest(calls[name], params);
        return boundedPage(await system.results(run, after, limit));
      }
      case "run.history": {
        const { run, after, limit } = parseRequest(calls[name], params);
        return system.history(run, after ?? null, limit);
      }
      case "run.poll": {
        const { run, after, limit, waitMs } = parseRequest(calls[name], params);
        return boundedEvents(await system.poll(run, after, limit, waitMs, signal));
      }
      case "run.cancel": {
        const { run, mode, reason } = parseRequest(calls[name], params);
        await system.cancelRun(run, mode, reason, this.#origin);
        return {};
      }
      case "run.delete": {
        const { run, discard } = parseRequest(calls[name], params);
        return system.deleteRun(run, discard, this.#origin);
      }
      case "journal.state":
      case "journal.ask":
      case "journal.backup":
        return answerJournal(system, name, params);
      case "child.list":
      case "child.resize":
      case "child.freeze":
      case "child.thaw":
        return answerChild(system, name, params);
      case "grant.create":
      case "grant.list":
      case "grant.revoke":
      case "grant.diff":
      case "grant.apply":
      case "grant.discard":
      case "grant.undo":
      case "approval.list":
      case "approval.answer":
        return answerPermission(system, name, params, this.#origin);
      case "doctor": {
        const report = await system.doctor(parseRequest(calls[name], params).child);
        const journal = journalRow(await system.journal.state());
        return { ...report, rows: [...this.#context.supervision, journal, ...report.rows] };
      }
      case "daemon.stop":
        this.#context.requestStop();
        return {};
    }
  }
}

async function* bytesOf(input: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  for await (const item of input) {
    if (!(item instanceof Uint8Array)) throw new CohortError("REQUEST_INVALID", { on: "items of child.exec are bytes" });
    yield item;
  }
}
