/** A file that a simulated process has open: what it asks takes time, and is never answered after its death. */
import { constants } from "node:fs";
import { computer } from "./computer.ts";
import { FileError, type FileNode, type Node, type OpenFlags } from "./file-system.ts";

const READ_MS = 0.05;
const WRITE_MS = 0.1;
const SYNC_MS = 0.6;

export interface SimulatedStat {
  readonly size: number;
  readonly ino: number;
  readonly dev: number;
  isDirectory(): boolean;
  isFile(): boolean;
}

export function statOf(node: Node): SimulatedStat {
  const isFile = node.type === "file";
  return { size: isFile ? node.bytes.size : 4096, ino: node.ino, dev: 1, isDirectory: () => !isFile, isFile: () => isFile };
}

export function openFlags(flags: string | number): OpenFlags & { readonly append: boolean } {
  if (typeof flags === "string") {
    return {
      create: /[wa]/.test(flags),
      exclusive: flags.includes("x"),
      truncate: flags.includes("w") && !flags.includes("x"),
      append: flags.includes("a"),
    };
  }
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    create: has(constants.O_CREAT),
    exclusive: has(constants.O_EXCL),
    truncate: has(constants.O_TRUNC),
    append: has(constants.O_APPEND),
  };
}

export class OpenFile {
  readonly #path: string;
  readonly #node: Node;
  readonly #append: boolean;
  #position = 0;

  constructor(path: string, node: Node, append: boolean) {
    this.#path = path;
    this.#node = node;
    this.#append = append;
  }

  get #file(): FileNode {
    if (this.#node.type === "directory") throw new FileError("EISDIR", this.#path);
    return this.#node;
  }

  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }> {
    return computer().answered(READ_MS, () => ({ bytesRead: this.#file.bytes.read(into.subarray(offset, offset + length), position) }));
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number | null): Promise<{ readonly bytesWritten: number }> {
    const part = Buffer.from(bytes.subarray(offset, offset + length));
    return computer().answered(WRITE_MS, () => {
      this.#put(part, position);
      return { bytesWritten: part.length };
    });
  }

  writeFile(content: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(content as Uint8Array);
    return computer().answered(WRITE_MS, () => this.#put(bytes, null));
  }

  #put(bytes: Uint8Array, position: number | null): void {
    const at = this.#append ? this.#file.bytes.size : (position ?? this.#position);
    computer().files.write(this.#file, bytes, at, this.#path);
    if (position === null) this.#position = at + bytes.length;
  }

  readFile(): Promise<Buffer> {
    return computer().answered(READ_MS, () => Buffer.from(this.#file.bytes.view()));
  }

  truncate(size = 0): Promise<void> {
    return computer().answered(WRITE_MS, () => computer().files.truncate(this.#file, size, this.#path));
  }

  stat(): Promise<SimulatedStat> {
    return computer().answered(READ_MS, () => statOf(this.#node));
  }

  sync(): Promise<void> {
    return computer().answered(SYNC_MS, () => computer().files.sync(this.#node, this.#path));
  }

  datasync(): Promise<void> {
    return this.sync();
  }

  close(): Promise<void> {
    return computer().answered(READ_MS, () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
