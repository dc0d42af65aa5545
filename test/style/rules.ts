/** The rules of the tidy test as data. Lists of exceptions only ever shrink: a stale entry fails the test. */

/** Longest file in lines; tests may be longer. */
export const FILE_LINES_MAX = 300;
export const TEST_FILE_LINES_MAX = 600;
/** Longest function of the warden; those of TypeScript are measured by oxlint. */
export const FUNCTION_LINES_MAX = 70;

/** Files that are longer than the limit, with the length that they may not exceed. */
export const LONG_FILES: Readonly<Record<string, number>> = {};
export const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};

export interface FolderRule {
  /** Prefix of paths that the rule is for; the longest match counts. */
  readonly folder: string;
  /** Prefixes of paths of the repository that it may import, besides its own. */
  readonly imports: readonly string[];
  /** Packages that it may import; undefined allows every dependency. */
  readonly packages?: readonly string[];
  readonly nodeModules: "allowed" | "forbidden";
}

const LOWER_THAN_APP = ["runtime/", "machines/", "vm/", "tools/", "actors/", "sdk/"];

export const FOLDER_RULES: readonly FolderRule[] = [
  { folder: "runtime/", imports: [], nodeModules: "allowed" },
  { folder: "machines/", imports: ["runtime/kernel/"], packages: ["xstate", "zod"], nodeModules: "forbidden" },
  { folder: "vm/", imports: ["runtime/"], nodeModules: "allowed" },
  { folder: "tools/", imports: ["runtime/", "machines/messages/"], nodeModules: "allowed" },
  { folder: "actors/", imports: ["runtime/", "machines/", "vm/", "tools/"], nodeModules: "allowed" },
  {
    folder: "sdk/",
    // The machines and what gives events to them again: a replay is the client's own work. Of the live runtime it has nothing.
    imports: [
      "runtime/kernel/",
      "runtime/transport/",
      "runtime/replay/",
      "runtime/actor/definition.ts",
      "runtime/contract.ts",
      "machines/messages/",
      "machines/definitions.ts",
    ],
    nodeModules: "allowed",
  },
  // Actors in the user's own process, and their tests: the live runtime, behind entry points of their own. The plain SDK loads none of it (test/sdk/scope.test.ts).
  { folder: "sdk/actors", imports: ["runtime/", "machines/messages/", "sdk/"], nodeModules: "allowed" },
  { folder: "sdk/testing", imports: ["runtime/", "machines/messages/", "sdk/"], nodeModules: "allowed" },
  { folder: "app/", imports: LOWER_THAN_APP, nodeModules: "allowed" },
  { folder: "app/cli/", imports: ["sdk/", "machines/messages/", "runtime/kernel/"], nodeModules: "allowed" },
  { folder: "app/daemon/", imports: LOWER_THAN_APP, nodeModules: "allowed" },
  { folder: "examples/", imports: ["sdk/"], nodeModules: "allowed" },
];

/** Files outside test/, scripts/, bench/ and examples/ that may start a process, and why. */
export const STARTS_PROCESSES: Readonly<Record<string, string>> = {
  "app/daemon/launch.ts": "starts cohortd in the background",
  "app/daemon/system-user.ts": "useradd and id, as root, once",
  "app/daemon/warden-launch.ts": "starts the warden, as root",
  "sdk/program.ts": "runs the step that starts cohortd",
  "vm/apply-process.ts": "runs cohort-apply, which writes into a person's directory as that person",
  "vm/c-program.ts": "runs the C compiler",
};

/** Calls that change the user of a process: only in files whose name ends in .root.ts, which do nothing else. */
export const ROOT_CALLS = /\bprocess\.(setuid|setgid|seteuid|setegid|setgroups|initgroups)\b/;

export interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Prefixes of paths; default: all product code. */
  readonly within?: readonly string[];
  readonly except?: readonly string[];
}

export const PRODUCT = ["runtime/", "machines/", "vm/", "tools/", "actors/", "sdk/", "app/"];

export const BANS: readonly Ban[] = [
  {
    pattern: /\bMath\.random\b/,
    instead: "randomBytes or randomUUID of node:crypto: an id must not be guessable or repeat", // Jitter of a retry is no id.
    except: ["runtime/kernel/environment.ts", "sdk/backoff.ts"],
  },
  {
    pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bsetTimeout\b|\bsetInterval\b/,
    instead: "the `at` of the event, or startTimer: machines have no clock",
    within: ["machines/"],
  },
  { pattern: /\bPromise\b|\basync\b|\bawait\b/, instead: "a named effect: machines are pure", within: ["machines/"] },
  {
    pattern: /\bconsole\.(log|error|warn|info|debug)\b/,
    instead: "the log of runtime, or the output of the command line",
    except: ["app/cli/"],
  },
  {
    pattern: /\bprocess\.exit\(/,
    instead: "process.exitCode and an orderly end, so that what was written is flushed",
    // The third one: a person who presses Ctrl-C again before there is a run to cancel wants to be out.
    except: ["app/cli/main.ts", "app/daemon/main.ts", "app/cli/follow/interrupts.ts"],
  },
  { pattern: /@ts-(ignore|nocheck)/, instead: "@ts-expect-error with its reason" },
  { pattern: /\b(TODO|FIXME|XXX)\b/, instead: "an issue, or the thing itself" },
  { pattern: /\bnew Function\(|(?<![.\w])eval\(/, instead: "code that can be read" },
  { pattern: /^\s*(export\s+)?(const\s+)?enum\s/m, instead: "a union of string literals: enums are not erasable" },
  {
    pattern: /\b(utf-?8|latin1|binary)"\)\.split\("\\n"\)\s*\.map\(\(?\w+\)?\s*=>\s*JSON\.parse/,
    instead: "a reader that survives a torn tail",
  },
  {
    pattern: /\bshell:\s*true\b/,
    instead: "a program and its arguments: no shell parses what a person wrote",
    // Here it is a field of the task file, and means the shell in the sandbox.
    except: ["app/cli/task-file/"],
  },
];

/** Words that say where or by whom a text was written; the repository stands for itself. */
export const WORKPLACE = /(^|[^\w.])\/work\/(main|shared)\b|\/tmp\/brief\b|DESIGN\.md|STYLE\.md/;

export const VAGUE_NAMES = /(^|[/.-])(utils?|helpers?|misc|common|managers?)(?=[/.-]|$)/;
