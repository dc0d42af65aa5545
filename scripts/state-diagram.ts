/** A statechart as Markdown with a Mermaid picture: states, events, guards and ends; what is done on the way stands in the code. Pure. */
import type { AnyStateMachine, AnyStateNode } from "xstate";

interface Definition {
  readonly kind: string;
  readonly version: number;
  readonly machine: AnyStateMachine;
  readonly ignores: readonly string[];
}

interface Edge {
  readonly from: string;
  /** Null: the state is not left. */
  readonly to: string | null;
  /** Empty: at once, if the guard holds. */
  readonly event: string;
  /** Null: whatever else the event finds. */
  readonly guard: string | null;
}

/** Mermaid breaks longer lines itself, and where it likes. */
const LABEL_CHARS_MAX = 28;

function guardText(guard: unknown): string | null {
  if (guard === undefined) return null;
  if (typeof guard === "string") return guard;
  const { type, params } = guard as { readonly type?: unknown; readonly params?: unknown };
  const name = typeof type === "string" ? type : "a condition";
  return typeof params === "string" ? `${name} ${params}` : name;
}

function edgesOf(node: AnyStateNode): readonly Edge[] {
  const from = node.path.join(".");
  const lists: [string, AnyStateNode["always"]][] = [...node.transitions].map(([event, list]) => [event, list]);
  return [["", node.always] as const, ...lists].flatMap(([event, candidates]) =>
    (candidates ?? []).map((candidate): Edge => {
      const target = candidate.target?.[0];
      const stays = target === undefined || (target === node && !candidate.reenter);
      return { from, to: stays ? null : target.path.join("."), event, guard: guardText(candidate.guard) };
    }),
  );
}

/** Of edges with one beginning and one end: each event once, with the guards that pick this way where there is another one. */
function labelsOf(some: readonly Edge[], all: readonly Edge[]): readonly string[] {
  return [...new Set(some.map(({ event }) => event))].map((event) => {
    const guards = some.filter((edge) => edge.event === event).map(({ guard }) => guard);
    const rivals = all.filter((edge) => edge.from === some[0]?.from && edge.event === event).length - guards.length;
    const condition = guards.includes(null) && rivals === 0 ? "" : `[${guards.map((guard) => guard ?? "else").join(" / ")}]`;
    return `${event} ${condition}`.trim();
  });
}

/** Labels of one arrow, several to a line as far as they fit. */
function wrapped(labels: readonly string[]): string {
  const lines: string[] = [];
  for (const label of labels) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + label.length + 2 <= LABEL_CHARS_MAX) lines[lines.length - 1] = `${last}, ${label}`;
    else lines.push(label);
  }
  return lines.join("<br/>");
}

function picture(machine: AnyStateMachine, edges: readonly Edge[]): readonly string[] {
  const arrows = new Map<string, Edge[]>();
  for (const edge of edges) {
    if (edge.to === null) continue;
    const arrow = `${edge.from} --> ${edge.to}`;
    arrows.set(arrow, [...(arrows.get(arrow) ?? []), edge]);
  }
  const states = Object.values(machine.root.states);
  const initial = machine.root.initial.target[0]?.path.join(".") ?? "";
  return [
    "```mermaid",
    "stateDiagram-v2",
    `  [*] --> ${initial}`,
    ...[...arrows].map(([arrow, some]) => {
      const label = wrapped(labelsOf(some, edges));
      return label === "" ? `  ${arrow}` : `  ${arrow}: ${label}`;
    }),
    ...states.filter(({ type }) => type === "final").map(({ key }) => `  ${key} --> [*]`),
    "```",
  ];
}

/** The comments that stand above the machine, and above each of its states. */
function commentsOf(source: string): { readonly machine: string; readonly states: ReadonlyMap<string, string> } {
  const plain = (comment: string): string =>
    comment
      .replaceAll(/^[/ ]*\*+[/ ]?|\*\/$/gm, "")
      .replaceAll(/\s+/g, " ")
      .trim();
  const machine = /^\/\*\*[\s\S]*?\*\//.exec(source)?.[0] ?? "";
  const states = [...source.matchAll(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n {4}(\w+): \{/g)];
  return { machine: plain(machine), states: new Map(states.map(([, comment = "", state = ""]) => [state, plain(comment)])) };
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function table(machine: AnyStateMachine, edges: readonly Edge[], comments: ReadonlyMap<string, string>): readonly string[] {
  const states = Object.values(machine.root.states);
  return [
    "| state | | stays, and takes |",
    "|---|---|---|",
    ...states.map((node) => {
      const stays = labelsOf(
        edges.filter(({ from, to }) => from === node.key && to === null),
        edges,
      );
      const meaning = comments.get(node.key) ?? (node.type === "final" ? "The end." : "");
      return row([node.key, meaning, stays.map((label) => `\`${label}\``).join(" ")]);
    }),
  ];
}

function checkFlat(machine: AnyStateMachine): void {
  const nested = Object.values(machine.root.states).find(({ states }) => Object.keys(states).length > 0);
  if (nested !== undefined) throw new Error(`${machine.id}.${nested.key} has states of its own, which this picture cannot show`);
}

/** `source` is the text of the machine's file. */
export function machinePage({ kind, version, machine, ignores }: Definition, source: string): string {
  checkFlat(machine);
  const edges = Object.values(machine.root.states).flatMap(edgesOf);
  const comments = commentsOf(source);
  return [
    `# ${kind}`,
    "",
    comments.machine,
    "",
    ...picture(machine, edges),
    "",
    ...table(machine, edges, comments.states),
    "",
    `Version ${version}. An event that a state does not take is a dead letter, unless it may come late: ${ignores.map((event) => `\`${event}\``).join(", ")}.`,
    "",
    `This page is written by \`npm run machines\` from \`machines/${kind}.ts\`; a test fails when they differ.`,
    "",
  ].join("\n");
}
