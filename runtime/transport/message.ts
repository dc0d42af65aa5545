/** The messages of the RPC, one msgpack array each, and the check that what came in is one of them. Pure. */
import { CohortError } from "../kernel/error.ts";

/** Largest frame on the socket. A message that is longer travels as parts. */
export const FRAME_BYTES_MAX = 4 * 1024 ** 2;
/** Largest message, parts joined: a run of 100,000 tasks with ordinary command lines is about 30 MiB. */
export const MESSAGE_BYTES_MAX = 64 * 1024 ** 2;
/** Of one part: small enough that other streams' frames are not far behind in the socket. */
export const PART_BYTES = 1024 ** 2;
/** Undelivered item bytes that one stream may have on its way, in each direction. */
export const WINDOW_BYTES = 256 * 1024;
export const CREDIT_BYTES_MAX = 1024 ** 3;
const METHOD_CHARS_MAX = 100;
const ID_MAX = 0xffff_ffff;

/** First element of each message. The client sends 1, 2 and 4; the server 7 and 8; both the rest. */
export const messageType = {
  /** id, method, params, timeoutMs (0: none) */
  call: 1,
  /** id, method, params, creditBytes for the server's items */
  open: 2,
  /** id, bytes: so many more item bytes may be sent */
  credit: 3,
  /** id: ends a call or a stream, nothing more is sent for it */
  cancel: 4,
  /** id, one encoded frame as bin: its length is what it costs in credit */
  item: 5,
  /** id: this side sends no more items */
  end: 6,
  /** id, value */
  answer: 7,
  /** id, code, message, hint: ends a call or a stream */
  fail: 8,
  /** number, answered by pong with the same */
  ping: 9,
  pong: 10,
  /** bin, last: a message too long for a frame */
  part: 11,
} as const;

export type Message =
  | { readonly type: "call"; readonly id: number; readonly method: string; readonly params: unknown; readonly timeoutMs: number }
  | { readonly type: "open"; readonly id: number; readonly method: string; readonly params: unknown; readonly creditBytes: number }
  | { readonly type: "credit"; readonly id: number; readonly bytes: number }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "item"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "end"; readonly id: number }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "fail"; readonly id: number; readonly code: string; readonly message: string; readonly hint: string }
  | { readonly type: "ping"; readonly number: number }
  | { readonly type: "pong"; readonly number: number }
  | { readonly type: "part"; readonly bytes: Uint8Array; readonly last: boolean };

export function messageToWire(message: Message): readonly unknown[] {
  const code = messageType[message.type];
  switch (message.type) {
    case "call":
      return [code, message.id, message.method, message.params, message.timeoutMs];
    case "open":
      return [code, message.id, message.method, message.params, message.creditBytes];
    case "credit":
      return [code, message.id, message.bytes];
    case "cancel":
    case "end":
      return [code, message.id];
    case "item":
      return [code, message.id, message.bytes];
    case "answer":
      return [code, message.id, message.value];
    case "fail":
      return [code, message.id, message.code, message.message, message.hint];
    case "ping":
    case "pong":
      return [code, message.number];
    case "part":
      return [code, message.bytes, message.last];
  }
}

/** Throws FRAME_INVALID for anything that is not exactly one of the messages. */
export function messageFromWire(wire: unknown): Message {
  if (!Array.isArray(wire)) throw invalid("not an array");
  const fields: readonly unknown[] = wire;
  const [code] = fields;
  switch (code) {
    case messageType.call:
      count(fields, 5);
      return { type: "call", id: id(fields[1]), method: method(fields[2]), params: fields[3], timeoutMs: integer(fields[4], ID_MAX) };
    case messageType.open:
      count(fields, 5);
      return {
        type: "open",
        id: id(fields[1]),
        method: method(fields[2]),
        params: fields[3],
        creditBytes: integer(fields[4], CREDIT_BYTES_MAX),
      };
    case messageType.credit:
      count(fields, 3);
      return { type: "credit", id: id(fields[1]), bytes: integer(fields[2], CREDIT_BYTES_MAX) };
    case messageType.cancel:
      count(fields, 2);
      return { type: "cancel", id: id(fields[1]) };
    case messageType.item:
      count(fields, 3);
      return { type: "item", id: id(fields[1]), bytes: binary(fields[2]) };
    case messageType.end:
      count(fields, 2);
      return { type: "end", id: id(fields[1]) };
    case messageType.answer:
      count(fields, 3);
      return { type: "answer", id: id(fields[1]), value: fields[2] };
    case messageType.fail:
      count(fields, 5);
      return { type: "fail", id: id(fields[1]), code: text(fields[2]), message: text(fields[3]), hint: text(fields[4]) };
    case messageType.ping:
      count(fields, 2);
      return { type: "ping", number: integer(fields[1], ID_MAX) };
    case messageType.pong:
      count(fields, 2);
      return { type: "pong", number: integer(fields[1], ID_MAX) };
    case messageType.part:
      count(fields, 3);
      if (typeof fields[2] !== "boolean") throw invalid("a part without its flag");
      return { type: "part", bytes: binary(fields[1]), last: fields[2] };
    default:
      throw invalid("an unknown type of message");
  }
}

export function invalid(on: string): CohortError {
  return new CohortError("FRAME_INVALID", { on });
}

function count(fields: readonly unknown[], expected: number): void {
  if (fields.length !== expected) throw invalid(`${fields.length} fields where ${expected} belong`);
}

function id(value: unknown): number {
  const number = integer(value, ID_MAX);
  if (number < 1) throw invalid("an id of 0");
  return number;
}

function integer(value: unknown, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) throw invalid("a number out of range");
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw invalid("a text is missing");
  return value;
}

function method(value: unknown): string {
  const name = text(value);
  if (name.length < 1 || name.length > METHOD_CHARS_MAX) throw invalid("a method's name is too long or empty");
  return name;
}

function binary(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalid("bytes are missing");
  return value;
}
