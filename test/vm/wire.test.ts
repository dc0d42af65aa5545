import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../../runtime/kernel/error.ts";
import { encodeFrame, FrameDecoder } from "../../runtime/kernel/frame-codec.ts";
import type { ExecExit, ExecPlan, GrantPlan, SandboxPlan } from "../../vm/backend.ts";
import { readDestroyed, readGrantInfo, readListing, readProbe, readRevoked, readSandboxInfo, readStats } from "../../vm/wire/answers.ts";
import { WIRE_FRAME_BYTES_MAX, type SupervisorFrame, type WardenFrame } from "../../vm/wire/frames.ts";
import { layerNames, namesOfLayers } from "../../vm/wire/layers.ts";
import { encodeSupervisorFrame } from "../../vm/wire/supervisor-frame.ts";
import { wardenError } from "../../vm/wire/warden-error.ts";
import { decodeWardenFrame, wardenFrameFields } from "../../vm/wire/warden-frame.ts";

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const uint = fc.maxSafeNat();
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/);
const bytes = fc.uint8Array({ maxLength: 500 }).map((array) => Buffer.from(array));
const stream = fc.constantFrom<0 | 1 | 2>(0, 1, 2);

const exit: fc.Arbitrary<ExecExit> = fc.record({
  name,
  execId: uint32,
  cause: fc.constantFrom("exited", "signaled", "not-started", "sandbox-died", "layer-missing"),
  code: fc.integer({ min: 0, max: 255 }),
  signal: fc.integer({ min: 0, max: 64 }),
  oomKilled: fc.boolean(),
  pidsLimitHit: fc.boolean(),
  deadlineHit: fc.boolean(),
  leaseExpired: fc.boolean(),
  outIsEmpty: fc.boolean(),
  full: fc.subarray(["disk", "inodes", "tmp"] as const),
  wallUs: uint,
  userUs: uint,
  systemUs: uint,
  maxRssKib: uint,
  stdoutBytes: uint,
  stderrBytes: uint,
  detail: fc.string(),
});

const wardenFrame: fc.Arbitrary<WardenFrame> = fc.oneof(
  fc.record({ type: fc.constant("data" as const), name, execId: uint32, stream, offset: uint, bytes, fin: fc.boolean() }),
  fc.record({ type: fc.constant("ack" as const), name, execId: uint32, stream, offset: uint }),
  fc.record({ type: fc.constant("ok" as const), seq: uint32, values: fc.array(fc.oneof(uint, fc.string(), fc.array(uint))) }),
  fc.record({
    type: fc.constant("error" as const),
    seq: uint32,
    code: fc.string(),
    message: fc.string(),
    errno: fc.integer({ min: -200, max: 200 }),
  }),
  fc.record({ type: fc.constant("exit" as const), exit }),
  fc.record({
    type: fc.constant("died" as const),
    death: fc.record({ name, reason: fc.constantFrom("asked", "itself", "deadline", "lease", "oom", "revocation"), detail: fc.string() }),
  }),
  fc.record({
    type: fc.constant("denied" as const),
    denial: fc.record({
      name,
      ordinal: uint32,
      pid: uint32,
      program: fc.string(),
      call: fc.string(),
      detail: fc.string(),
      repeated: uint32,
    }),
  }),
  fc.record({
    type: fc.constant("grantEnded" as const),
    end: fc.record({
      name,
      grantId: uint32,
      reason: fc.constantFrom("revoked", "expired"),
      processesKilled: uint32,
      childKilled: fc.boolean(),
    }),
  }),
  fc.record({ type: fc.constant("event" as const), name: fc.string(), kind: fc.string(), detail: fc.string() }),
  fc.record({
    type: fc.constant("helloOk" as const),
    version: uint32,
    nameMax: uint32,
    identity: fc.record({
      wardenId: fc.string(),
      binarySha256: fc.string(),
      features: fc.array(fc.string(), { maxLength: 8 }),
      sandboxesMax: uint32,
      windowBytesMax: uint,
      memoryBytesTotal: uint,
    }),
  }),
);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof CohortError ? error.code : `not a CohortError: ${String(error)}`;
  }
  return "accepted";
}

function decodeBytes(frame: Buffer): unknown {
  return new FrameDecoder(WIRE_FRAME_BYTES_MAX).push(frame)[0];
}

const plan: SandboxPlan = {
  name: "serene-vibrant-newton",
  timeoutMs: 60_000,
  limits: {
    memoryBytes: 2 ** 40,
    diskBytes: 4096,
    diskInodes: 64,
    diskKind: "ext4",
    tmpBytes: 4096,
    pidsMax: 16,
    cpuPermille: 500,
    openFilesMax: 64,
  },
  network: "none",
  mounts: [{ source: "/srv/data", target: "data", mode: "rw" }],
};

const exec: ExecPlan = {
  execId: 1,
  kind: "command",
  argv: ["sh", "-c", "true"],
  env: { LANG: "C", EMPTY: "" },
  cwd: "/sessions/serene-vibrant-newton",
  pty: null,
  stdin: "stream",
  windowBytes: 65_536,
};

const grant: GrantPlan = { grantId: 17, source: "/srv/data", target: "data", mode: "staged", ttlMs: 60_000, stagedBytes: 4096 };

describe("frames of the warden", () => {
  test("every frame that is encoded is decoded to the same value", () => {
    fc.assert(
      fc.property(wardenFrame, (frame) => {
        expect(decodeWardenFrame(decodeBytes(encodeFrame(wardenFrameFields(frame))))).toEqual(frame);
      }),
      { numRuns: 500 },
    );
  });

  test("a frame with a field changed, added or taken away is read as some frame or refused with FRAME_INVALID", () => {
    const anything = fc.anything({ withBigInt: true });
    fc.assert(
      fc.property(wardenFrame, fc.nat({ max: 20 }), anything, fc.constantFrom("change", "add", "remove"), (frame, where, value, how) => {
        const fields = [...wardenFrameFields(frame)];
        fields.splice(where % fields.length, how === "add" ? 0 : 1, ...(how === "remove" ? [] : [value]));
        expect(["accepted", "FRAME_INVALID"]).toContain(codeOf(() => decodeWardenFrame(fields)));
      }),
      { numRuns: 3000 },
    );
  });

  test("one field too many or too few is refused", () => {
    fc.assert(
      fc.property(wardenFrame, (frame) => {
        const fields = wardenFrameFields(frame);
        expect(codeOf(() => decodeWardenFrame([...fields, 0]))).toBe("FRAME_INVALID");
        expect(codeOf(() => decodeWardenFrame(fields.slice(0, -1)))).toBe("FRAME_INVALID");
      }),
    );
  });

  test("canary: the round trip fails when two fields change places", () => {
    const broken = fc.property(exit, (value) => {
      const fields = [...wardenFrameFields({ type: "exit", exit: value })];
      [fields[4], fields[5]] = [fields[5], fields[4]];
      expect(decodeWardenFrame(fields)).toEqual({ type: "exit", exit: value });
    });
    expect(fc.check(broken, { numRuns: 200 }).failed).toBe(true);
  });

  test.each([
    ["a float where an offset belongs", [4, "a", 1, 1, 0.5, Buffer.alloc(0), false]],
    ["a negative offset", [4, "a", 1, 1, -1, Buffer.alloc(0), false]],
    ["an offset beyond 2^53", [4, "a", 1, 1, 2 ** 53, Buffer.alloc(0), false]],
    ["text where bytes belong", [4, "a", 1, 1, 0, "text", false]],
    ["stream 4", [4, "a", 1, 4, 0, Buffer.alloc(0), false]],
    ["a number where a bool belongs", [4, "a", 1, 1, 0, Buffer.alloc(0), 1]],
    ["a session name with a slash", [4, "../a", 1, 1, 0, Buffer.alloc(0), false]],
    ["an exit of an unknown cause", [68, "a", 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, ""]],
    ["a frame of the supervisor", [16]],
    ["a map", { type: 4 }],
    ["nil", null],
  ])("%s is refused", (_, value) => {
    expect(codeOf(() => decodeWardenFrame(value))).toBe("FRAME_INVALID");
  });
});

describe("frames of the supervisor", () => {
  test("stand on the wire in the order of docs/design/wire.md", () => {
    const cases: readonly (readonly [SupervisorFrame, readonly unknown[]])[] = [
      [{ type: "hello", version: 2, supervisorId: "s", freezeAfterMs: 1, killAfterMs: 2 }, [1, 2, "s", 1, 2]],
      [
        { type: "create", seq: 7, plan },
        [2, 7, plan.name, 60_000, 2 ** 40, 4096, 4096, 64, 16, 500, 64, 0, [["/srv/data", "data", 1, 0]], "", 1],
      ],
      [
        { type: "exec", seq: 8, name: plan.name, plan: exec },
        [3, 8, plan.name, 1, 0, ["sh", "-c", "true"], ["LANG=C", "EMPTY="], "/sessions/serene-vibrant-newton", 2, 0, 0, 65_536],
      ],
      [
        {
          type: "exec",
          seq: 8,
          name: "a",
          plan: { ...exec, kind: "collect", argv: ["10", "2"], env: {}, stdin: "none", pty: { rows: 24, columns: 80 } },
        },
        [3, 8, "a", 1, 1, ["10", "2"], [], "/sessions/serene-vibrant-newton", 1, 24, 80, 65_536],
      ],
      [
        { type: "data", name: "a", execId: 1, stream: 0, offset: 2 ** 33, bytes: Buffer.from("x"), fin: true },
        [4, "a", 1, 0, 2 ** 33, Buffer.from("x"), true],
      ],
      [{ type: "ack", name: "a", execId: 1, stream: 2, offset: 9 }, [5, "a", 1, 2, 9]],
      [{ type: "signal", seq: 1, name: "a", execId: 0, signal: 15 }, [6, 1, "a", 0, 15]],
      [{ type: "resize", seq: 1, name: "a", execId: 1, rows: 3, columns: 4 }, [7, 1, "a", 1, 3, 4]],
      [{ type: "freeze", seq: 1, name: "a" }, [8, 1, "a"]],
      [{ type: "thaw", seq: 1, name: "a" }, [9, 1, "a"]],
      [{ type: "kill", seq: 1, name: "a" }, [10, 1, "a"]],
      [{ type: "stats", seq: 1, name: "a" }, [11, 1, "a"]],
      [{ type: "probe", seq: 1, name: "a" }, [12, 1, "a"]],
      [{ type: "destroy", seq: 1, name: "a" }, [13, 1, "a"]],
      [{ type: "list", seq: 1 }, [14, 1]],
      [{ type: "exitAck", name: "a", execId: 1 }, [15, "a", 1]],
      [{ type: "renew" }, [16]],
      [{ type: "credit", name: "a", execId: 1, stream: 1, windowBytes: 5 }, [17, "a", 1, 1, 5]],
      [{ type: "shutdown", seq: 1 }, [18, 1]],
      [{ type: "grant", seq: 1, name: "a", plan: grant }, [19, 1, "a", 17, "/srv/data", "data", 2, 60_000, 4096]],
      [{ type: "revoke", seq: 1, name: "a", grantId: 17 }, [20, 1, "a", 17]],
    ];
    for (const [frame, fields] of cases) expect(decodeBytes(encodeSupervisorFrame(frame))).toEqual(fields);
    const proxied = { ...plan, network: { type: "proxied", endpoint: "/run/x" } } as const;
    const fields = decodeBytes(encodeSupervisorFrame({ type: "create", seq: 7, plan: proxied })) as readonly unknown[];
    expect([fields[11], fields[13]]).toEqual([1, "/run/x"]);
  });

  test.each<readonly [string, SupervisorFrame]>([
    ["a NUL in an argument", { type: "exec", seq: 1, name: "a", plan: { ...exec, argv: ["a\0b"] } }],
    ["half a surrogate pair", { type: "exec", seq: 1, name: "a", plan: { ...exec, env: { A: "\ud800" } } }],
    ["an argument list over the frame", { type: "exec", seq: 1, name: "a", plan: { ...exec, argv: ["x".repeat(WIRE_FRAME_BYTES_MAX)] } }],
    ["a bad session name", { type: "freeze", seq: 1, name: "../../etc" }],
    ["a fraction of a byte", { type: "create", seq: 1, plan: { ...plan, limits: { ...plan.limits, memoryBytes: 0.5 } } }],
    [
      "seventeen mounts",
      {
        type: "create",
        seq: 1,
        plan: { ...plan, mounts: Array.from({ length: 17 }, () => ({ source: "/a", target: "a", mode: "ro" as const })) },
      },
    ],
    ["an endpoint that is no absolute path", { type: "create", seq: 1, plan: { ...plan, network: { type: "proxied", endpoint: "x" } } }],
    [
      "an endpoint longer than the path of a socket",
      { type: "create", seq: 1, plan: { ...plan, network: { type: "proxied", endpoint: `/${"x".repeat(107)}` } } },
    ],
    ["the id of a mount of the creation", { type: "grant", seq: 1, name: "a", plan: { ...grant, grantId: 16 } }],
    ["a NUL in the source of a grant", { type: "grant", seq: 1, name: "a", plan: { ...grant, source: "/a\0b" } }],
    ["execId 0", { type: "exitAck", name: "a", execId: 0 }],
  ])("%s is refused before it is sent", (_, frame) => {
    expect(codeOf(() => encodeSupervisorFrame(frame))).toBe("REQUEST_INVALID");
  });
});

describe("answers", () => {
  test("bits of layers become names, unknown bits numbers", () => {
    expect(namesOfLayers(2 ** 20 - 1)).toEqual(layerNames);
    expect(namesOfLayers(0b1001)).toEqual(["uid", "seccomp"]);
    expect(namesOfLayers(2 ** 31)).toEqual(["bit-31"]);
  });

  test("are read by their request", () => {
    expect(readSandboxInfo("a", [5, 6, 1])).toEqual({ name: "a", uid: 5, initPid: 6, layers: ["uid"] });
    expect(readGrantInfo([2 ** 40, 5])).toEqual({ mountId: 2 ** 40, copied: true, copyPartial: true, protectionPartial: false });
    expect(readRevoked([3, 1])).toEqual({ processesKilled: 3, childKilled: true });
    expect(readProbe([1, 2])).toEqual({ inside: ["uid"], outside: ["no-capabilities"] });
    expect(readStats([1, 2, 3, 4, 5, 6, 7])).toEqual({
      memoryBytes: 1,
      memoryPeakBytes: 2,
      pids: 3,
      cpuUs: 4,
      oomKills: 5,
      pidsRefused: 6,
      throttledUs: 7,
    });
    expect(readListing([[["a", 9, 1, [[1, 1, 10, 20, 30, 40]]]]])).toEqual([
      {
        name: "a",
        uid: 9,
        state: "frozen",
        execs: [{ execId: 1, state: "exited", stdout: { acked: 10, produced: 20 }, stderr: { acked: 30, produced: 40 } }],
      },
    ]);
  });

  test("a destroy that left a process is no success", () => {
    expect(codeOf(() => readDestroyed("a", [0, 0]))).toBe("accepted");
    expect(codeOf(() => readDestroyed("a", [1, 0]))).toBe("SANDBOX_FAILED");
    expect(codeOf(() => readDestroyed("a", []))).toBe("FRAME_INVALID");
  });

  test("the warden's codes become codes of the one table, its words stay", () => {
    const codes = [
      "MOUNT_SOURCE_LINK",
      "GRANT_FS_UNSUPPORTED",
      "GRANT_ENDED",
      "LAYER_MISSING",
      "CGROUP_UNAVAILABLE",
      "EXEC_FAILED",
      "SETUP_FAILED",
      "NAME_UNKNOWN",
      "constructor",
    ];
    expect(codes.map((code) => wardenError(code, "why").code)).toEqual([
      "MOUNT_REFUSED",
      "GRANT_FS_UNSUPPORTED",
      "GRANT_ENDED",
      "LAYER_MISSING",
      "CGROUP_UNAVAILABLE",
      "EXEC_FAILED",
      "SANDBOX_FAILED",
      "WARDEN_REFUSED",
      "WARDEN_REFUSED",
    ]);
    expect(wardenError("MOUNT_SOURCE_LINK", "/a/b is a link").message).toContain("MOUNT_SOURCE_LINK: /a/b is a link");
    expect(wardenError("EXEC_FAILED", "cannot enter /x").hint).toContain("inside the sandbox");
    expect(wardenError("EXEC_FAILED", "cannot execute x").message).toBe("the command could not be started: cannot execute x");
  });
});
