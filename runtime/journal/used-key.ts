/** What is kept of the key of an effect whose row is gone, so that the key is refused for ever: 63 bits of its SHA-256. Pure. */
import { hash } from "node:crypto";

/** A new key meets one of ten million old ones by chance once in a million million times. */
export function usedKeyHash(key: string): bigint {
  return hash("sha256", key, "buffer").readBigInt64BE(0) & 0x7fff_ffff_ffff_ffffn;
}
