/** What the files of this folder share: made once by permissions.ts. */
import type { Runtime } from "../../runtime/contract.ts";
import type { RuntimeLog } from "../../runtime/log/runtime-log.ts";
import type { Content } from "../content.ts";
import type { SessionTable } from "../session-table.ts";
import type { StagedDiffs } from "../staged-diffs.ts";
import type { UndoCopies } from "../undo-copies.ts";
import type { VmLink } from "../vm-link.ts";
import type { Announcements } from "./announcements.ts";
import type { LivingGrants } from "./living-grants.ts";
import type { Place } from "./path-rules.ts";
import type { PermissionContent } from "./permission-content.ts";

export interface PermissionParts {
  /** Resolves once the table of living grants is restored; effects recover before that. */
  readonly runtime: Promise<Runtime>;
  readonly place: Place;
  readonly content: Content;
  readonly words: PermissionContent;
  readonly living: LivingGrants;
  readonly announcements: Announcements;
  readonly table: SessionTable;
  readonly link: VmLink;
  readonly diffs: StagedDiffs;
  readonly undo: Pick<UndoCopies, "make" | "restore">;
  readonly log: RuntimeLog;
}
