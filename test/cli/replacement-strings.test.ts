/** The command lines that GNU parallel 20221122 makes of the same arguments (`parallel --dry-run`), and where we differ on purpose. */
import { describe, expect, it } from "vitest";
import { combine, splitArguments, splitItems } from "../../app/cli/map/arguments.ts";
import { fillCommand, fillShellLine, fillText, shellQuote } from "../../app/cli/map/template.ts";

const CHANGES = ["{}", "{.}", "{/}", "{//}", "{/.}", "{#}"];

/** item → its {} {.} {/} {//} {/.} {#}, as parallel printed them. */
const PARALLEL: readonly (readonly [string, readonly string[]])[] = [
  ["a b/c.d.tar.gz", ["a b/c.d.tar.gz", "a b/c.d.tar", "c.d.tar.gz", "a b", "c.d.tar", "1"]],
  ["/x.y/z", ["/x.y/z", "/x.y/z", "z", "/x.y", "z", "1"]],
  ['q"z.t', ['q"z.t', 'q"z', 'q"z.t', ".", 'q"z', "1"]],
  ["/", ["/", "/", "", "/", "", "1"]],
  ["a.b/c", ["a.b/c", "a.b/c", "c", "a.b", "c", "1"]],
  [".a.b", [".a.b", ".a", ".a.b", ".", ".a", "1"]],
  ["", ["", "", "", ".", "", "1"]],
];

describe("replacement strings", () => {
  it.each(PARALLEL)("makes of %j what GNU parallel makes of it", (item, expected) => {
    expect(fillCommand(CHANGES, [item], 1)).toEqual(expected);
  });

  it("keeps the name of a hidden file, of which parallel leaves nothing", () => {
    expect(fillCommand(["{.}", "{/.}"], [".profile"], 1)).toEqual([".profile", ".profile"]);
  });

  it.each<[readonly string[], readonly string[], readonly string[]]>([
    [["echo"], ["a"], ["echo", "a"]],
    [["echo", "x{}y{}", "{#}"], ["a"], ["echo", "xaya", "7"]],
    [["cp", "{}", "{/.}.bak"], ["d/f.txt"], ["cp", "d/f.txt", "f.bak"]],
    [
      ["echo", "{}"],
      ["a b", "c"],
      ["echo", "a b", "c"],
    ],
    [
      ["echo", "-{}-"],
      ["a", "c"],
      ["echo", "-a c-"],
    ],
    [
      ["echo", "{2}", "{1/.}"],
      ["x/a.b", "c"],
      ["echo", "c", "a"],
    ],
    [["echo", "{#}"], ["a"], ["echo", "7"]],
    [["awk", "{print $1}", "{}"], ["f"], ["awk", "{print $1}", "f"]],
    [["echo", "{}"], ["{}{#}"], ["echo", "{}{#}"]],
    [["echo", "{}"], ["$(id); 'x"], ["echo", "$(id); 'x"]],
  ])("fills %j with %j", (command, items, expected) => {
    expect(fillCommand(command, items, 7)).toEqual(expected);
  });

  it("refuses what it would otherwise leave standing in silence", () => {
    expect(() => fillCommand(["echo", "{3}"], ["a", "b"], 1)).toThrow(/\{3\} names input source 3, but there are 2/);
    expect(() => fillCommand(["echo", "{%}"], ["a"], 1)).toThrow(/\{%\}/);
  });

  it("quotes items, and nothing else, for a shell", () => {
    expect(fillShellLine(["grep -c x {} | wc", ">", "{/.}.n"], ["a b/c'd.t"], 1)).toBe("grep -c x 'a b/c'\\''d.t' | wc > 'c'\\''d'.n");
    expect(fillShellLine(["echo"], ["a;b"], 1)).toBe("echo 'a;b'");
    expect([shellQuote(""), shellQuote("a-b_c.d/e"), shellQuote("~x"), shellQuote("a\nb")]).toEqual(["''", "a-b_c.d/e", "'~x'", "'a\nb'"]);
    expect(fillText("DIR/{#}", ["a"], 12)).toBe("DIR/12");
  });
});

describe("sources of items", () => {
  it.each<[string, readonly string[], readonly string[], readonly unknown[]]>([
    ["items behind :::", ["echo", "{}", ":::", "a", "b"], ["echo", "{}"], [{ type: "items", items: ["a", "b"] }]],
    [
      "two sources",
      ["echo", ":::", "a", ":::", "b"],
      ["echo"],
      [
        { type: "items", items: ["a"] },
        { type: "items", items: ["b"] },
      ],
    ],
    [
      "files behind ::::",
      ["echo", "::::", "f", "-"],
      ["echo"],
      [
        { type: "file", path: "f" },
        { type: "file", path: "-" },
      ],
    ],
    ["no source", ["echo", "-n"], ["echo", "-n"], []],
    ["options among the items are items", ["echo", ":::", "--dry-run", "--"], ["echo"], [{ type: "items", items: ["--dry-run", "--"] }]],
    ["an empty source", ["echo", ":::"], ["echo"], [{ type: "items", items: [] }]],
  ])("reads %s", (_, words, command, sources) => {
    expect(splitArguments(words)).toEqual({ command, sources });
  });

  it("says what is missing or not supported", () => {
    expect(() => splitArguments([":::", "a"])).toThrow(/no command/);
    expect(() => splitArguments(["echo", ":::", "a", ":::+", "b"])).toThrow(/linked sources/);
  });

  it("combines each with each, the last running fastest, and stops at the limit before it takes memory", () => {
    expect(
      combine(
        [
          ["a", "b"],
          ["x", "y"],
        ],
        4,
      ),
    ).toEqual([
      ["a", "x"],
      ["a", "y"],
      ["b", "x"],
      ["b", "y"],
    ]);
    expect(combine([["a"], []], 4)).toEqual([]);
    const many = Array.from({ length: 1000 }, String);
    expect(() => combine([many, many, many], 100_000)).toThrow(/1000000000 tasks are more than 100000/);
  });

  it("splits lines and NUL-ended items as parallel does: empty lines are items, spaces stay", () => {
    expect(splitItems("a\n\n b \nc", "\n")).toEqual(["a", "", " b ", "c"]);
    expect(splitItems("a\0b\nc\0", "\0")).toEqual(["a", "b\nc"]);
    expect(splitItems("", "\n")).toEqual([]);
    expect(splitItems("\n", "\n")).toEqual([""]);
  });
});
