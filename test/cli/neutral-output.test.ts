/** No byte that a child chose may move a cursor, set a title, answer in the person's name or reorder a line. Fuzzed, with a canary. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Printer } from "../../app/cli/follow/printer.ts";
import { jsonLine, neutraliseLine, neutraliseText, OutputNeutraliser } from "../../app/cli/text/neutralise.ts";
import { PtyFilter } from "../../app/cli/text/pty-filter.ts";
import { table } from "../../app/cli/text/table.ts";
import { fit, truncate, widthOf } from "../../app/cli/text/width.ts";

/** Written from Unicode's own properties, not from the list in the code under test. */
const HARMFUL = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const harmfulInText = (text: string): boolean => HARMFUL.test(text.replace(/[\n\t]/g, ""));

const hostile = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc
    .constantFrom(
      "\x1b[31m",
      "\x1b[2J",
      "\x1b]0;t\x07",
      "\x1b]52;c;eA==\x1b\\",
      "\x1bP+q\x1b\\",
      "\r",
      "\x9b2J",
      "\u009b2J",
      "\u202e",
      "\u2028",
      "é",
      "日本",
      "👩‍👩‍👧",
      "\x1b[",
      "\x1b",
      "\u{e0041}",
      "\n",
      "\t",
    )
    .map((text) => Buffer.from(text)),
  fc.string({ maxLength: 20 }).map((text) => Buffer.from(text)),
);
const stream = fc.array(hostile, { maxLength: 12 }).map((parts) => Buffer.concat(parts));
const cut = (bytes: Buffer, sizes: readonly number[]): Buffer[] => {
  const chunks: Buffer[] = [];
  let from = 0;
  for (let turn = 0; from < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(bytes.subarray(from, from + size));
    from += size;
  }
  return chunks;
};
const through = (chunks: readonly Buffer[]): string => {
  const neutraliser = new OutputNeutraliser();
  return chunks.map((chunk) => neutraliser.push(chunk)).join("") + neutraliser.end();
};

describe("what children write", () => {
  it("reaches a terminal without one control character, however it is cut", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), (bytes, sizes) => {
        const whole = through([bytes]);
        expect(harmfulInText(whole)).toBe(false);
        expect(through(cut(bytes, sizes))).toBe(whole);
      }),
      { numRuns: 2000 },
    );
  });

  it("is found harmful by the same check when it passes untouched (the canary)", () => {
    const found = fc.check(
      fc.property(stream, (bytes) => !harmfulInText(bytes.toString("utf8"))),
      { numRuns: 500 },
    );
    expect(found.failed).toBe(true);
  });

  it("keeps ordinary text, line breaks, tabs and scripts of the world as they are", () => {
    const text = "plain\tcolumns\nété 日本語 עברית العربية 👩‍👩‍👧 naïve\n";
    expect(neutraliseText(text)).toBe(text);
  });

  it.each([
    ["colours are dropped", "\x1b[1;31mred\x1b[0m", "red"],
    ["other sequences are shown", "\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇"],
    ["a return is shown", "10%\r20%", "10%␍20%"],
    ["C1 and bidi controls are named", "\u009b2J\u202egnp", "<U+009B>2J<U+202E>gnp"],
    ["an unfinished escape at the end is shown", "x\x1b[3", "x␛[3"],
    ["half a surrogate pair is replaced", "a\ud800b", "a\ufffdb"],
  ])("%s", (_, written, shown) => {
    expect(neutraliseText(written)).toBe(shown);
  });

  it("holds only an unfinished colour, never a growing one", () => {
    const neutraliser = new OutputNeutraliser();
    expect(neutraliser.push(Buffer.from("a\x1b[3"))).toBe("a");
    expect(neutraliser.push(Buffer.from("1mb"))).toBe("b");
    expect(neutraliser.push(Buffer.from(`\x1b[${"1;".repeat(200)}`))).toMatch(/^␛\[1;1;/);
  });
});

describe("names and titles", () => {
  it("stay on one line, in a table too, as wide as it was asked for", () => {
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 40 }), (bytes, columns) => {
        const line = neutraliseLine(bytes.toString("utf8"));
        expect(HARMFUL.test(line)).toBe(false);
        expect(widthOf(truncate(line, columns))).toBeLessThanOrEqual(columns);
        expect(widthOf(fit(line, columns))).toBe(columns);
        const rows = table(
          [{ name: bytes.toString("utf8") }],
          [
            { title: "name", cell: (row) => row.name },
            { title: "x", cell: () => "end" },
          ],
          columns,
        ).split("\n");
        expect(rows.length).toBe(3);
        expect(rows.every((row) => widthOf(row) <= columns && !HARMFUL.test(row))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("survive JSON on a terminal unchanged for a parser", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
        const line = jsonLine({ text });
        expect(HARMFUL.test(line.slice(0, -1))).toBe(false);
        expect(JSON.parse(line)).toEqual({ text });
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a printer", () => {
  const print = (options: { terminal: boolean; tag: string | null }, chunks: readonly string[]): string => {
    const printer = new Printer(options);
    return Buffer.concat([
      ...chunks.map((chunk) => Buffer.from(printer.push(Buffer.from(chunk, "latin1")))),
      Buffer.from(printer.end()),
    ]).toString("latin1");
  };

  it.each<[string, { terminal: boolean; tag: string | null }, readonly string[], string]>([
    ["passes raw bytes to a pipe", { terminal: false, tag: null }, ["\xff\x00\x1b[2J", "no newline"], "\xff\x00\x1b[2Jno newline"],
    ["ends the last line on a terminal", { terminal: true, tag: null }, ["a\nb"], "a\nb\n"],
    ["tags each line once, wherever it was cut", { terminal: false, tag: "t" }, ["x", "\n", "y\nz"], "t\tx\nt\ty\nt\tz\n"],
    ["tags nothing where nothing was written", { terminal: false, tag: "t" }, [], ""],
    ["tags empty lines", { terminal: false, tag: "t" }, ["\n\n"], "t\t\nt\t\n"],
  ])("%s", (_, options, chunks, expected) => {
    expect(print(options, chunks)).toBe(expected);
  });
});

describe("the pty filter", () => {
  const passed = (...chunks: readonly string[]): string => {
    const filter = new PtyFilter();
    return chunks.map((chunk) => Buffer.from(filter.push(Buffer.from(chunk))).toString()).join("");
  };

  it.each([
    ["colours and cursor moves pass", "\x1b[1;31mhi\x1b[0m\x1b[2;3H\x1b7é日本", "\x1b[1;31mhi\x1b[0m\x1b[2;3H\x1b7é日本"],
    ["titles are taken out", "a\x1b]0;evil\x07b", "ab"],
    ["the clipboard is taken out", "a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"],
    ["DCS, APC, PM, SOS are taken out", "a\x1bPq\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\b", "ab"],
    ["C1 introducers in UTF-8 are taken out", "a\u009d0;evil\u009cb", "ab"],
    ["a sequence within a string ends it", "a\x1b]0;x\x1b[31mb", "a\x1b[31mb"],
    ["line feeds alone move straight down, with a return they are as ever", "a\nb\r\nc", "a\x1bDb\r\nc"],
    ["an endless CSI is dropped", `a\x1b[${"1".repeat(100)}b`, `a${"1".repeat(36)}b`],
  ])("%s", (_, written, shown) => {
    expect(passed(written)).toBe(shown);
    expect(passed(...Array.from(written))).toBe(shown);
  });

  it("lets no string introducer through, whatever comes", () => {
    fc.assert(
      fc.property(stream, (bytes) => {
        const filter = new PtyFilter();
        const out = Buffer.from(filter.push(bytes)).toString("latin1");
        expect(/\x1b[P\]X^_]|\xc2[\x90\x98\x9d-\x9f]/.test(out)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it("leaves the alternate screen only when the child entered it", () => {
    const stayed = new PtyFilter();
    stayed.push(Buffer.from("\x1b[?1049h\x1b[?1049l"));
    expect(stayed.reset()).not.toContain("?1049l");
    const left = new PtyFilter();
    left.push(Buffer.from("\x1b[?1049h"));
    expect(left.reset()).toContain("\x1b[?1049l");
  });
});
