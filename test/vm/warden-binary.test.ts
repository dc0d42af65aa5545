import { existsSync, statSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { buildWarden, wardenBinaryPath } from "../../vm/warden-binary.ts";

describe("building the warden", () => {
  const compiler = process.env["CC"];

  afterEach(() => {
    if (compiler === undefined) delete process.env["CC"];
    else process.env["CC"] = compiler;
  });

  test("gives an executable, and does nothing when it is up to date", async () => {
    const path = await buildWarden();
    expect(path).toBe(wardenBinaryPath());
    const built = statSync(path);
    expect(built.mode & 0o111).toBe(0o111);
    await buildWarden();
    expect(statSync(path).mtimeMs).toBe(built.mtimeMs);
  });

  test("without a compiler is WARDEN_BUILD with what to install, and leaves the old binary", async () => {
    const path = await buildWarden();
    process.env["CC"] = "no-such-compiler";
    await expect(buildWarden()).rejects.toMatchObject({ code: "WARDEN_BUILD", hint: expect.stringContaining("apt-get install") });
    expect(existsSync(path)).toBe(true);
  });

  test("with a compiler that fails is WARDEN_BUILD with its words", async () => {
    process.env["CC"] = "/bin/false";
    await expect(buildWarden()).rejects.toMatchObject({ code: "WARDEN_BUILD" });
  });
});
