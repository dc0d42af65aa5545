/** Small trees on the disk, and the archive of a diff between two of them, as the walk in the sandbox writes it. */
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type TreeNode =
  | { readonly type: "file"; readonly content: string; readonly mode: number }
  | { readonly type: "directory"; readonly mode: number }
  | { readonly type: "symlink"; readonly to: string };
export type Tree = Readonly<Record<string, TreeNode>>;

export const file = (content: string, mode = 0o644): TreeNode => ({ type: "file", content, mode });
export const directory = (mode = 0o755): TreeNode => ({ type: "directory", mode });
export const symlink = (to: string): TreeNode => ({ type: "symlink", to });

const RECORDS = { file: 1, directory: 2, symlink: 3 } as const;
const KINDS = { file: 1, directory: 2, symlink: 3 } as const;
export const END = Buffer.from([0, 0]);
export const MAGIC = Buffer.from("cohort-diff 1\n");

export interface RecordOptions {
  readonly flags?: number;
}

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export function before(node: TreeNode | undefined, flags = 0): Buffer {
  const bytes = Buffer.alloc(62);
  bytes.writeUInt8(flags, 0);
  if (node === undefined) return bytes;
  bytes.writeUInt8(KINDS[node.type], 1);
  bytes.writeUInt32BE(node.type === "symlink" ? 0o777 : node.mode, 2);
  if (node.type === "file") bytes.writeBigUInt64BE(BigInt(Buffer.byteLength(node.content)), 6);
  if (node.type !== "directory")
    createHash("sha256")
      .update(node.type === "file" ? node.content : node.to)
      .digest()
      .copy(bytes, 30);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function put(path: string | Buffer, after: TreeNode, was?: TreeNode, { flags = 0 }: RecordOptions = {}): Buffer {
  const head = Buffer.concat([Buffer.from([RECORDS[after.type]]), text(path), before(was, flags)]);
  if (after.type === "symlink") return Buffer.concat([head, text(after.to)]);
  if (after.type === "directory") return Buffer.concat([head, u32(after.mode)]);
  return Buffer.concat([head, u32(after.mode), u64(Buffer.byteLength(after.content)), Buffer.from(after.content)]);
}

export function deleted(path: string, was: TreeNode, { flags = 0 }: RecordOptions = {}): Buffer {
  return Buffer.concat([Buffer.from([4]), text(path), before(was, flags)]);
}

export function changedMode(path: string, mode: number, was: TreeNode): Buffer {
  return Buffer.concat([Buffer.from([5]), text(path), before(was), u32(mode)]);
}

export function refused(path: string, reason: number): Buffer {
  return Buffer.concat([Buffer.from([6]), text(path), before(undefined), Buffer.from([reason])]);
}

export function archiveOf(...records: readonly Buffer[]): Buffer {
  return Buffer.concat([MAGIC, ...records, END]);
}

export function diffOf(from: Tree, to: Tree): Buffer {
  const records: Buffer[] = [];
  for (const path of Object.keys(from).toSorted().toReversed()) {
    const was = from[path];
    if (was !== undefined && to[path] === undefined) records.push(deleted(path, was));
  }
  for (const path of Object.keys(to).toSorted()) {
    const [was, now] = [from[path], to[path]];
    if (now === undefined || JSON.stringify(was) === JSON.stringify(now)) continue;
    if (was?.type === "file" && now.type === "file" && was.content === now.content) records.push(changedMode(path, now.mode, was));
    else records.push(put(path, now, was));
  }
  return archiveOf(...records);
}

export function writeTree(root: string, tree: Tree): void {
  for (const path of Object.keys(tree).toSorted()) {
    const node = tree[path];
    const full = join(root, path);
    if (node?.type === "directory") mkdirSync(full, { mode: 0o700 });
    if (node?.type === "file") writeFileSync(full, node.content);
    if (node?.type === "symlink") symlinkSync(node.to, full);
  }
  for (const path of Object.keys(tree).toSorted().toReversed()) {
    const node = tree[path];
    if (node !== undefined && node.type !== "symlink") chmodSync(join(root, path), node.mode);
  }
}

/** Every path below root, parents first; readdir's own recursion follows links. */
export function pathsIn(root: string, prefix = ""): readonly string[] {
  return readdirSync(join(root, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = `${prefix}${entry.name}`;
    return entry.isDirectory() ? [path, ...pathsIn(root, `${path}/`)] : [path];
  });
}

export function readTree(root: string): Tree {
  const tree: Record<string, TreeNode> = {};
  for (const path of pathsIn(root)) {
    const full = join(root, path);
    const status = lstatSync(full);
    const mode = status.mode & 0o7777;
    if (status.isSymbolicLink()) tree[path] = symlink(readlinkSync(full));
    else if (status.isDirectory()) tree[path] = directory(mode);
    else tree[path] = status.isFile() ? file(readFileSync(full, "utf8"), mode) : file(`not a file: ${status.mode}`, mode);
  }
  return tree;
}
