/** A short stand-in for the name of an actor: 128 bits of its SHA-256, so that equal hashes prove equal names. */
import { hash } from "node:crypto";

/** Four words of 32 bits. */
export function refHash(ref: string): Uint32Array {
  const bytes = hash("sha256", ref, "buffer");
  return new Uint32Array([bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8), bytes.readUInt32LE(12)]);
}
