import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { judge } from "./verdict.ts";
import type { Evidence, ReplayPolicy, Verdict } from "./verdict.ts";

const READ = 1000;
const WRITTEN = 5000;
const GET = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const POST = "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
const KEYED = "POST /c HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\nabc";
const PUT = "PUT /d HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

/** A connection with these bytes read since its quiescent point, all of them in the ledger. */
function evidence(bytes: string, change: Partial<Evidence> = {}): Evidence {
  return {
    kernelRead: READ + bytes.length,
    kernelWritten: WRITTEN,
    quiescentRead: READ,
    quiescentWritten: WRITTEN,
    interimBytes: 0,
    responseEnd: 0,
    responseOrdinal: 0,
    deaths: 0,
    role: "suspect",
    bytes: Buffer.from(bytes, "latin1"),
    ...change,
  };
}

/** `n` responses, each of 100 bytes, have left. */
function answered(n: number): Partial<Evidence> {
  const end = WRITTEN + 100 * n;
  return { kernelWritten: end, responseEnd: end, responseOrdinal: n };
}

/** A verdict in one line: `replay "GET /a ..." counted`, `refuse 503`, `move`, `abort`. */
function brief(verdict: Verdict): string {
  switch (verdict.kind) {
    case "move":
    case "abort":
      return verdict.kind;
    case "replay":
      return `replay ${verdict.bytes.toString("latin1")}${verdict.isCounted ? " counted" : ""}`;
    case "refuse":
      return `refuse ${verdict.status} ${verdict.request?.target ?? "-"}`;
  }
}

const NOT_THERE = { bytes: null };
const INTERIM = { kernelWritten: WRITTEN + 25, interimBytes: 25 };
/**
 * What was read, what else is known, and the verdict under the policies idempotent, safe and off.
 */
const TABLE: Record<string, [string, Partial<Evidence>, string, (string | undefined)?, string?]> = {
  "idle: nothing read, nothing written": ["", {}, "move"],
  "an empty line was read": ["\r\n", {}, "move"],
  "half of a head": ["GET /a HT", {}, "replay GET /a HT", "replay GET /a HT", "replay GET /a HT"],
  "half of a POST's head": [POST.slice(0, 30), {}, `replay ${POST.slice(0, 30)}`],
  "a GET": [GET, {}, `replay ${GET} counted`, `replay ${GET} counted`, "refuse 503 /a"],
  "a PUT with its body": [PUT, {}, `replay ${PUT} counted`, "refuse 503 /d", "refuse 503 /d"],
  "a POST with a key": [KEYED, {}, `replay ${KEYED} counted`, "refuse 503 /c", "refuse 503 /c"],
  "a POST": [POST, {}, "refuse 503 /b", "refuse 503 /b", "refuse 503 /b"],
  "a PUT with half of its body": [PUT.slice(0, -1), {}, "refuse 502 /d"],
  "a POST with half of its body": [POST.slice(0, -2), {}, "refuse 502 /b"],
  "a head of which the body has not begun": [PUT.slice(0, -3), {}, "refuse 502 /d"],
  "two GETs": [GET + GET, {}, `replay ${GET + GET} counted`, undefined, "refuse 503 /a"],
  "a GET, then a POST": [GET + POST, {}, "refuse 503 /b", "refuse 503 /b", "refuse 503 /a"],
  "a POST, then a GET": [POST + GET, {}, "refuse 503 /b"],
  "a GET, then half of a head": [`${GET}PO`, {}, `replay ${GET}PO counted`],
  "a GET, then a PUT's half body": [GET + PUT.slice(0, -1), {}, "refuse 502 /d"],
  "an interim response has left": [PUT, INTERIM, `replay ${PUT} counted`],
  "an interim response has left, and half a body was read": [
    PUT.slice(0, -1),
    INTERIM,
    "refuse 502 /d",
  ],
  "half of an interim response": [PUT, { ...INTERIM, kernelWritten: WRITTEN + 12 }, "abort"],
  "an interim response and more": [PUT, { ...INTERIM, kernelWritten: WRITTEN + 26 }, "abort"],
  "the whole response has left": [GET, answered(1), "move", "move", "move"],
  "a POST's whole response has left": [POST, answered(1), "move"],
  "half of the response has left": [
    GET,
    { ...answered(1), kernelWritten: WRITTEN + 50 },
    "abort",
    "abort",
    "abort",
  ],
  "more than the response has left": [
    GET,
    { ...answered(1), kernelWritten: WRITTEN + 101 },
    "abort",
  ],
  "something has left, and no end is known": [GET, { kernelWritten: WRITTEN + 1 }, "abort"],
  "fewer bytes have left than the ledger counts": [GET, { kernelWritten: WRITTEN - 1 }, "abort"],
  "the end of a response is known, and none of it has left": [
    GET,
    { responseEnd: WRITTEN + 100, responseOrdinal: 1 },
    `replay ${GET} counted`,
  ],
  "one of two is answered": [GET + PUT, answered(1), `replay ${PUT} counted`],
  "one of two is answered, and the other may not be repeated": [
    GET + POST,
    answered(1),
    "refuse 503 /b",
  ],
  "two of two are answered": [GET + POST, answered(2), "move"],
  "two of three are answered": [POST + POST + GET, answered(2), `replay ${GET} counted`],
  "one is answered, half of the next head is there": [`${POST}GET`, answered(1), "replay GET"],
  "one is answered, and its body was not read whole": [POST.slice(0, -1), answered(1), "abort"],
  "more are answered than were read": [GET, answered(2), "abort"],
  "an answer to nothing": ["", answered(1), "abort"],
  "bytes are missing": [GET, NOT_THERE, "refuse 503 -"],
  "bytes are missing behind a response": [GET + GET, { ...NOT_THERE, ...answered(1) }, "abort"],
  "bytes are missing, and part of a response has left": [
    GET,
    { ...NOT_THERE, kernelWritten: WRITTEN + 1 },
    "abort",
  ],
  "the ledger counts more than the kernel": ["", { kernelRead: READ - 1 }, "abort"],
  "unclear framing": ["GET /x HTTP/1.1\r\nA : b\r\n\r\n", {}, "refuse 503 -"],
  "unclear framing behind a request": [`${GET}\u0001\r\n\r\n`, {}, "refuse 503 /a"],
  "unclear framing behind an answered request": [
    `${GET}\u0001\r\n\r\n`,
    answered(1),
    "refuse 503 -",
  ],
  "the second worker dies with it": [GET, { deaths: 1 }, "refuse 500 /a"],
  "the second worker dies, and it was not to blame": [
    GET,
    { deaths: 1, role: "bystander" },
    `replay ${GET}`,
  ],
  "the second worker dies while half of a head was there": ["GET", { deaths: 1 }, "replay GET"],
  "the second worker dies with a POST": [POST, { deaths: 1 }, "refuse 503 /b"],
  "it held the worker up": [GET, { role: "culprit" }, "refuse 500 /a"],
  "it held the worker up while half of a head was there": [
    "GET",
    { role: "culprit" },
    "replay GET",
  ],
  "a bystander's first death": [GET, { role: "bystander" }, `replay ${GET}`],
  "an idle connection of a second dead worker": ["", { deaths: 1, role: "culprit" }, "move"],
};

describe("the verdict", () => {
  for (const [name, [bytes, change, idempotent, safe, off]] of Object.entries(TABLE)) {
    it(name, () => {
      assert.equal(brief(judge(evidence(bytes, change), "idempotent")), idempotent);
      if (safe !== undefined) assert.equal(brief(judge(evidence(bytes, change), "safe")), safe);
      if (off !== undefined) assert.equal(brief(judge(evidence(bytes, change), "off")), off);
    });
  }

  it("says how many workers have died with it: others may have been there, too", () => {
    const reasons = [1, 2, 3, 4].map((deaths) => {
      const verdict = judge(evidence(GET, { deaths }), "idempotent");
      return verdict.kind === "refuse" ? verdict.reason : verdict.kind;
    });
    const said = ["two", "three", "four", "5"].map((count) => `${count} workers have died with it`);
    assert.deepEqual(reasons, said);
  });

  it("gives bytes of its own: they outlive the dead worker's arena", () => {
    const given = evidence(GET);
    const verdict = judge(given, "safe");
    given.bytes?.fill(0);
    assert.equal(brief(verdict), `replay ${GET} counted`);
  });
});

/** A request as a client sends it, with what a server must not do with it. */
interface Sent {
  readonly text: string;
  readonly mayRepeat: Readonly<Record<ReplayPolicy, boolean>>;
}

const sent: fc.Arbitrary<Sent> = fc
  .record({
    method: fc.constantFrom("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"),
    hasKey: fc.boolean(),
    body: fc.constantFrom("", "x", "abc\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
    isChunked: fc.boolean(),
  })
  .map(({ method, hasKey, body, isChunked }) => {
    const framing = isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
    const first = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
    const key = hasKey ? "Idempotency-Key: k\r\n" : "";
    const isSafe = ["GET", "HEAD", "OPTIONS"].includes(method);
    const isIdempotent = isSafe || method === "PUT" || method === "DELETE" || hasKey;
    return {
      text:
        `${method} /x HTTP/1.1\r\n${key}${framing}\r\n\r\n` +
        (isChunked ? `${first}0\r\n\r\n` : body),
      mayRepeat: { safe: isSafe, idempotent: isIdempotent, off: false },
    };
  });

/** A worker that dies at a random point of a random exchange, and what the ledger knows of it. */
const death = fc.record({
  requests: fc.array(sent, { minLength: 1, maxLength: 4 }),
  readPart: fc.double({ min: 0, max: 1, noNaN: true }),
  responses: fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 4, maxLength: 4 }),
  wholeResponses: fc.nat(4),
  extra: fc.oneof(fc.constant(0), fc.nat(299)),
  knowsEnd: fc.constantFrom("last", "next", "nothing"),
  interim: fc.constantFrom(0, 0, 25),
  hasBytes: fc.boolean(),
  deaths: fc.nat(2),
  role: fc.constantFrom("bystander" as const, "suspect" as const, "culprit" as const),
  policy: fc.constantFrom("idempotent" as const, "safe" as const, "off" as const),
});

describe("the verdict over any death", () => {
  it("never repeats what it must not, and never moves on with bytes missing", () => {
    fc.assert(
      fc.property(death, (given) => {
        const text = given.requests.map((request) => request.text).join("");
        const read = Math.floor(given.readPart * text.length);
        const ends: number[] = [];
        for (const request of given.requests) ends.push((ends.at(-1) ?? 0) + request.text.length);
        // a worker answers no more than it has read whole
        const out = Math.min(given.wholeResponses, ends.filter((end) => end <= read).length);
        const isWhole = (count: number): number =>
          given.responses.slice(0, count).reduce((sum, length) => sum + length, 0);
        const next = given.responses[out] ?? 0;
        const partial = Math.min(given.extra, Math.max(next - 1, 0));
        // an interim response that was noted leaves before any byte of a response does
        const written = isWhole(out) + partial;
        fc.pre(given.interim === 0 || out === 0 || written !== given.interim);
        const known = { last: out, next: out + 1, nothing: 0 }[given.knowsEnd];
        const verdict = judge(
          {
            kernelRead: READ + read,
            kernelWritten: WRITTEN + written,
            quiescentRead: READ,
            quiescentWritten: WRITTEN,
            interimBytes: given.interim,
            responseEnd: known === 0 ? 0 : WRITTEN + isWhole(known),
            responseOrdinal: known,
            deaths: given.deaths,
            role: given.role,
            bytes: given.hasBytes ? Buffer.from(text.slice(0, read), "latin1") : null,
          },
          given.policy,
        );
        const isInterim = out === 0 && partial === given.interim;
        if (partial > 0 && !isInterim)
          assert.equal(verdict.kind, "abort", "part of a response left");
        const isKnown = out === 0 || given.knowsEnd === "last";
        if (!isKnown) assert.equal(verdict.kind, "abort", "nobody knows where the response ended");
        if (verdict.kind === "move") {
          assert.equal(read, ends[out - 1] ?? 0, "everything that was read is answered");
        }
        if (verdict.kind !== "replay") return;
        assert.ok(given.hasBytes);
        const start = ends[out - 1] ?? 0;
        assert.equal(verdict.bytes.toString("latin1"), text.slice(start, read));
        given.requests.forEach((request, index) => {
          const [from, end = 0] = [ends[index - 1] ?? 0, ends[index]];
          if (index < out || from >= read) return;
          const headEnd = from + request.text.indexOf("\r\n\r\n") + 4;
          if (headEnd > read) return; // nobody has acted on half of a head
          assert.ok(end <= read, "no body is in part");
          assert.ok(request.mayRepeat[given.policy], request.text);
          assert.notEqual(given.role, "culprit");
          assert.ok(given.role === "bystander" || given.deaths === 0, "a second death");
        });
      }),
      { numRuns: 1500 },
    );
  });

  it("and does move, replay and refuse", () => {
    const kinds = new Set<string>();
    for (const [bytes, change] of Object.values(TABLE)) {
      kinds.add(judge(evidence(bytes, change), "idempotent").kind);
    }
    assert.deepEqual([...kinds].toSorted(), ["abort", "move", "refuse", "replay"]);
  });
});
