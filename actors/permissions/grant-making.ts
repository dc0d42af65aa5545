/**
 * Makes grants: numbers, words on the disk, then the actor.
 * Owns nothing but the names that are taken for a moment, until their grants stand in the table.
 */
import type { FileWrite, Origin } from "../../runtime/contract.ts";
import { CohortError } from "../../runtime/kernel/error.ts";
import { grantId, wireIdOf } from "../../machines/approval-context.ts";
import type { GrantInput } from "../../machines/messages/grant-events.ts";
import { GRANTS_PER_CHILD_MAX } from "../../machines/messages/grant.ts";
import type { Task } from "../../machines/messages/task.ts";
import { mountTarget } from "../engines/command.ts";
import { runScope } from "../run-actor.ts";
import type { SessionId } from "../session.ts";
import type { GrantWords } from "./permission-content.ts";
import type { PermissionParts } from "./permission-parts.ts";

const systemOrigin: Origin = { surface: "daemon", device: "grants" };
const TARGET_BYTES_MAX = 100;

export type NewGrant = Pick<GrantInput, "mode" | "ttlMs" | "usesLeft" | "by" | "approval"> & { readonly number: number };

export class GrantMaking {
  readonly #parts: PermissionParts;
  readonly #taken = new Map<string, Set<string>>();

  constructor(parts: PermissionParts) {
    this.#parts = parts;
  }

  /** Numbers are never given twice, so that one names a grant in the warden for ever. One by one: people read them, and wonder about gaps. */
  async number(): Promise<number> {
    return (await this.#parts.runtime).reserve("grants", 1);
  }

  /** The name that it gets under ~/mnt: the last component of its path, numbered where that is taken. Throws GRANT_REFUSED for a wish that is taken. */
  async target(child: SessionId, path: string, wish: string | undefined): Promise<string> {
    const { content, living, words } = this.#parts;
    const task = await content.task(child.run, child.index);
    const grants = [...(living.ofChild(child.name)?.grants.values() ?? [])];
    if (grants.length >= GRANTS_PER_CHILD_MAX)
      throw new CohortError("GRANT_REFUSED", { on: `${child.name} has ${grants.length} grants already`, hint: "revoke one first" });
    const used = new Set(task.mounts.map(mountTarget));
    for (const { grant, run } of grants) used.add((await words.grant(run, grant)).as);
    const taken = this.#taken.get(child.name) ?? new Set<string>();
    for (const name of taken) used.add(name);
    const name = wish ?? freeName(path, used);
    if (used.has(name))
      throw new CohortError("GRANT_REFUSED", { on: `~/mnt/${name} is taken in ${child.name}`, hint: "give it another name" });
    this.#taken.set(child.name, taken.add(name));
    return name;
  }

  /** Its grant stands in the table, or will not. */
  release(child: string, target: string): void {
    const taken = this.#taken.get(child);
    taken?.delete(target);
    if (taken?.size === 0) this.#taken.delete(child);
  }

  /** Its words, to be written with the actor that needs them. */
  async file(child: SessionId, grant: string, words: Omit<GrantWords, "detail" | "stagedBytes">): Promise<FileWrite> {
    const { content, words: file } = this.#parts;
    const { limits } = await content.task(child.run, child.index);
    return file.grantFile(child.run, grant, { ...words, detail: "", stagedBytes: limits.stagedBytes });
  }

  async spawn(child: SessionId, made: NewGrant, words: Omit<GrantWords, "detail" | "stagedBytes">, origin: Origin): Promise<string> {
    const { number, ...rest } = made;
    const grant = grantId(number);
    const file = await this.file(child, grant, words);
    await this.#spawn(file, { ...rest, ...ofChild(child), grant, wireId: wireIdOf(number), born: false, atMs: Date.now() }, origin);
    return grant;
  }

  /** The task's own staged mounts are grants, too: they have differences. Idempotent by their names. */
  async adopt(child: SessionId, task: Task): Promise<void> {
    for (const [at, mount] of task.mounts.entries()) {
      if (mount.mode !== "staged") continue;
      const wireId = at + 1;
      const grant = `${child.name}.${wireId}`;
      const file = await this.file(child, grant, { path: mount.path, as: mountTarget(mount), reason: "" });
      await this.#spawn(
        file,
        {
          ...ofChild(child),
          grant,
          wireId,
          mode: "staged",
          ttlMs: 0,
          usesLeft: 0,
          by: "task",
          approval: null,
          born: true,
          atMs: Date.now(),
        },
        systemOrigin,
      );
    }
  }

  async #spawn(file: FileWrite, input: GrantInput, origin: Origin): Promise<void> {
    this.#parts.living.addGrant(input);
    const runtime = await this.#parts.runtime;
    await runtime.spawn(`grant:${input.grant}`, input, { origin, scope: runScope(input.run), files: [file] });
  }
}

function ofChild({ run, index, attempt, name }: SessionId): Pick<GrantInput, "run" | "index" | "attempt" | "child"> {
  return { run, index, attempt, child: name };
}

function freeName(path: string, used: ReadonlySet<string>): string {
  // Names with a leading dot are the sandbox's own.
  const last = path.slice(path.lastIndexOf("/") + 1).replace(/^\.+/, "");
  const base = Buffer.byteLength(last) > TARGET_BYTES_MAX || last === "" ? "directory" : last;
  if (!used.has(base)) return base;
  for (let number = 2; ; number += 1) if (!used.has(`${base}-${number}`)) return `${base}-${number}`;
}
