/**
 * Owns the files and directories of a simulated computer: what its processes see, and what of it is durable.
 * Does not own: latency, deaths (the gate says when), who may read what.
 * 1. A file's bytes are durable after its sync; an entry of a directory (made, renamed, removed) after the directory's. A loss of power may keep the rest
 *    or lose it, all unsynced entries of one directory alike. As on ext4, XFS and btrfs a sync makes the entries durable that lead to what is synced.
 * 2. Errors carry the codes of the kernel. A full disk refuses writes and new entries.
 */
import { normalize } from "node:path";
import type { Death, DiskGate, Survivor } from "../../../runtime/simulated/disk-gate.ts";
import type { SeededRandom } from "../../../runtime/simulated/seeded-random.ts";
import { SimulatedBytes } from "../../../runtime/simulated/simulated-bytes.ts";

export interface FileNode {
  readonly type: "file";
  readonly ino: number;
  readonly bytes: SimulatedBytes;
}

export interface DirectoryNode {
  readonly type: "directory";
  readonly ino: number;
  entries: Map<string, FileNode | DirectoryNode>;
  /** What was there at the last sync; null when nothing changed since. */
  synced: Map<string, FileNode | DirectoryNode> | null;
}

export type Node = FileNode | DirectoryNode;

export class FileError extends Error {
  readonly code: string;

  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

export interface OpenFlags {
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
}

export class FileSystem implements Survivor {
  readonly #gate: DiskGate;
  readonly #root: DirectoryNode = { type: "directory", ino: 1, entries: new Map(), synced: null };
  readonly #dirty = new Set<DirectoryNode>();
  readonly #dirtyFiles = new Set<SimulatedBytes>();
  #ino = 1;

  constructor(gate: DiskGate) {
    this.#gate = gate;
    gate.add(this);
  }

  settle(death: Death, random: SeededRandom): void {
    for (const bytes of this.#dirtyFiles) bytes.settle(death, random);
    this.#dirtyFiles.clear();
    for (const directory of this.#dirty) {
      if (death === "power" && directory.synced !== null && random.chance(0.5)) directory.entries = directory.synced;
      directory.synced = null;
    }
    this.#dirty.clear();
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of partsOf(path)) {
      if (node === undefined) return undefined;
      if (node.type === "file") throw new FileError("ENOTDIR", path);
      node = node.entries.get(part);
    }
    return node;
  }

  get(path: string): Node {
    const node = this.find(path);
    if (node === undefined) throw new FileError("ENOENT", path);
    return node;
  }

  open(path: string, { create, exclusive, truncate }: OpenFlags): Node {
    const known = this.find(path);
    if (known !== undefined) {
      if (create && exclusive) throw new FileError("EEXIST", path);
      if (truncate && known.type === "file" && known.bytes.size > 0) this.truncate(known, 0, path);
      return known;
    }
    if (!create) throw new FileError("ENOENT", path);
    const made: FileNode = { type: "file", ino: ++this.#ino, bytes: new SimulatedBytes() };
    this.#enter(path, made);
    return made;
  }

  write(file: FileNode, bytes: Uint8Array, position: number, path: string): void {
    const write = (part: Uint8Array): void => {
      this.#dirtyFiles.add(file.bytes);
      file.bytes.write(part, position);
    };
    // Within a file no space is needed.
    const pass = position + bytes.length <= file.bytes.size ? this.#gate.pass.bind(this.#gate) : this.#gate.passWrite.bind(this.#gate);
    pass(
      `write ${path}`,
      () => write(bytes),
      () => write(bytes.subarray(0, this.#gate.random.below(bytes.length + 1))),
    );
  }

  truncate(file: FileNode, size: number, path: string): void {
    this.#gate.pass(`truncate ${path}`, () => {
      this.#dirtyFiles.add(file.bytes);
      file.bytes.truncate(size);
    });
  }

  sync(node: Node, path: string): void {
    this.#gate.pass(`sync ${path}`, () => {
      if (node.type === "file") {
        node.bytes.sync();
        this.#dirtyFiles.delete(node.bytes);
      } else {
        node.synced = null;
        this.#dirty.delete(node);
      }
      this.#keepWay(path, node);
    });
  }

  #keepWay(path: string, node: Node): void {
    let at: Node = this.#root;
    for (const part of partsOf(path)) {
      if (at.type === "file") return;
      const next = at.entries.get(part);
      // What is open may have another name by now, or none.
      if (next === undefined) return;
      if (next === node || next.type === "directory") at.synced?.set(part, next);
      at = next;
    }
  }

  makeDirectory(path: string, recursive: boolean): void {
    const known = this.find(path);
    if (known !== undefined) {
      if (recursive && known.type === "directory") return;
      throw new FileError("EEXIST", path);
    }
    if (recursive && partsOf(path).length > 1) this.makeDirectory(normalize(`${path}/..`), true);
    this.#enter(path, { type: "directory", ino: ++this.#ino, entries: new Map(), synced: null });
  }

  remove(path: string, { recursive, force }: { readonly recursive: boolean; readonly force: boolean }): void {
    const known = this.find(path);
    if (known === undefined) {
      if (force) return;
      throw new FileError("ENOENT", path);
    }
    if (known.type === "directory" && !recursive) throw new FileError("EISDIR", path);
    this.#gate.pass(`remove ${path}`, () => this.#changing(parentOf(path)).delete(nameOf(path)));
  }

  rename(from: string, to: string): void {
    const node = this.get(from);
    this.#gate.pass(`rename ${to}`, () => {
      this.#changing(parentOf(from)).delete(nameOf(from));
      this.#changing(parentOf(to)).set(nameOf(to), node);
    });
  }

  list(path: string): readonly string[] {
    const node = this.get(path);
    if (node.type === "file") throw new FileError("ENOTDIR", path);
    return [...node.entries.keys()].toSorted();
  }

  #enter(path: string, node: Node): void {
    const parent = parentOf(path);
    const directory = this.get(parent);
    if (directory.type === "file") throw new FileError("ENOTDIR", path);
    this.#gate.passWrite(
      `make ${path}`,
      () => this.#changing(parent).set(nameOf(path), node),
      () => {},
    );
  }

  #changing(path: string): Map<string, Node> {
    const directory = this.get(path);
    if (directory.type === "file") throw new FileError("ENOTDIR", path);
    if (directory.synced === null) {
      directory.synced = new Map(directory.entries);
      this.#dirty.add(directory);
    }
    return directory.entries;
  }
}

function partsOf(path: string): readonly string[] {
  return path.split("/").filter((part) => part !== "");
}

function parentOf(path: string): string {
  return `/${partsOf(path).slice(0, -1).join("/")}`;
}

function nameOf(path: string): string {
  return partsOf(path).at(-1) ?? "";
}
