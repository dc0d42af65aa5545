/** docs/machines beside the machines. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { setup } from "xstate";
import { MACHINES_DIRECTORY, machinePages } from "../../scripts/machines.ts";
import { machinePage } from "../../scripts/state-diagram.ts";

const light = setup({ guards: { isNight: () => false, timerIs: (_, _name: string) => true } }).createMachine({
  id: "light",
  initial: "red",
  states: {
    red: { on: { go: [{ guard: "isNight", target: "off" }, { target: "green" }], cycle: {} } },
    green: {
      always: { guard: "isNight", target: "off" },
      on: { timer: { guard: { type: "timerIs", params: "change" }, target: "green", reenter: true }, stop: "red" },
    },
    off: { type: "final" },
  },
});
const source = `/**
 * Lets cars go.
 * Or not.
 */
export const light = createMachine({
  states: {
    /** Cars wait. */
    red: {
`;
const definition = { kind: "light", version: 7, machine: light, ignores: ["late"] };

function pictureIn(page: string): string {
  return /```mermaid\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
}

it("every statechart has its page in docs/machines, as the code says it today, and there is no other", () => {
  const pages = machinePages();
  expect(readdirSync(MACHINES_DIRECTORY).toSorted()).toEqual([...pages.keys()].toSorted());
  for (const [name, page] of pages)
    expect(readFileSync(join(MACHINES_DIRECTORY, name), "utf8"), `docs/machines/${name} is stale: run npm run machines`).toBe(page);
});

it("a page shows every state, the event and guard of every arrow, and the ends", () => {
  const page = machinePage(definition, source);
  expect(pictureIn(page)).toBe(`stateDiagram-v2
  [*] --> red
  red --> off: go [isNight]
  red --> green: go [else]
  green --> off: [isNight]
  green --> green: timer [timerIs change]
  green --> red: stop
  off --> [*]
`);
  expect(page).toContain("# light\n\nLets cars go. Or not.\n");
  expect(page).toContain("| red | Cars wait. | `cycle` |\n| green |  |  |\n| off | The end. |  |\n");
  expect(page).toContain("Version 7. An event that a state does not take is a dead letter, unless it may come late: `late`.");
});

it("another guard is another page, so that a stale one is found", () => {
  const always = setup({ guards: { isDay: () => true } }).createMachine({
    id: "light",
    initial: "green",
    states: { green: { always: { guard: "isDay", target: "off" } }, off: { type: "final" } },
  });
  expect(pictureIn(machinePage({ ...definition, machine: always }, source))).toBe(`stateDiagram-v2
  [*] --> green
  green --> off: [isDay]
  off --> [*]
`);
});

it("a state with states of its own is refused rather than drawn wrongly", () => {
  const nested = setup({}).createMachine({ id: "nested", initial: "a", states: { a: { initial: "b", states: { b: {} } } } });
  expect(() => machinePage({ ...definition, machine: nested }, source)).toThrow("nested.a has states of its own");
});
