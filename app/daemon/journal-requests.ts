/** What is asked of the journal over the socket: each request passes its schema, then goes to the actors. */
import { calls, type CallName } from "../../machines/messages/api.ts";
import type { System } from "../../actors/contract.ts";
import { parseRequest } from "./request.ts";

export type JournalCall = Extract<CallName, `journal.${string}`>;

export async function answerJournal({ journal }: System, name: JournalCall, params: unknown): Promise<unknown> {
  switch (name) {
    case "journal.state":
      return journal.state();
    case "journal.backup":
      return journal.backup(parseRequest(calls[name], params).path);
    case "journal.ask": {
      const asked = parseRequest(calls[name], params);
      switch (asked.question) {
        case "summary":
          return journal.ask(asked.question, asked);
        case "events":
          return journal.ask(asked.question, asked);
        case "effects":
          return journal.ask(asked.question, asked);
        case "actor":
          return journal.ask(asked.question, asked);
      }
    }
  }
}
