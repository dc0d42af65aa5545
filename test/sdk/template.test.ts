import { expect, test } from "vitest";
import { fillTemplate, namesItem } from "../../sdk/template.ts";

test("replacement strings are those of GNU parallel", () => {
  const command = ["{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "a{}b{}"];
  expect(fillTemplate(command, "dir/sub/file.tar.gz", 7)).toEqual([
    "dir/sub/file.tar.gz",
    "dir/sub/file.tar",
    "file.tar.gz",
    "dir/sub",
    "file.tar",
    "7",
    "adir/sub/file.tar.gzbdir/sub/file.tar.gz",
  ]);
});

test.each([
  ["plain", "plain", "plain", ".", "plain"],
  [".hidden", ".hidden", ".hidden", ".", ".hidden"],
  ["dir.d/plain", "dir.d/plain", "plain", "dir.d", "plain"],
  ["dir/.hidden", "dir/.hidden", ".hidden", "dir", ".hidden"],
  ["/top.txt", "/top", "top.txt", "/", "top"],
  ["", "", "", ".", ""],
])("the parts of %j", (item, bare, last, directory, lastBare) => {
  expect(fillTemplate(["{.}", "{/}", "{//}", "{/.}"], item, 1)).toEqual([bare, last, directory, lastBare]);
});

test("a command that does not name the item gets it appended, also when it has only its number", () => {
  expect(fillTemplate(["wc", "-l"], "a b", 1)).toEqual(["wc", "-l", "a b"]);
  expect(fillTemplate(["echo", "{#}"], "a", 3)).toEqual(["echo", "3", "a"]);
  expect(namesItem(["echo", "{#}"])).toBe(false);
});

test("what is in an item is not replaced again, and other braces stay", () => {
  expect(fillTemplate(["{}", "{x}", "{"], "{#}$&", 1)).toEqual(["{#}$&", "{x}", "{"]);
});
