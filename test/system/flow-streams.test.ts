/** Streams of http2 behind a gate, by the event `stream` and as requests and responses. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import { within } from "./support/wait.ts";

const entry = app("flow/streams.cjs");
/** More than the client may send before it is read. */
const LONG_BODY = Buffer.alloc(200_000, "x");

interface Answer {
  readonly status: number;
  readonly retryAfter: string;
  readonly text: string;
}

async function ask(session: ClientHttp2Session, path: string, body?: Buffer): Promise<Answer> {
  const stream = session.request({ ":method": body ? "POST" : "GET", ":path": path });
  const response = once(stream, "response");
  stream.end(body);
  const [headers] = (await response) as [Record<string, unknown>]; // of this event
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return {
    status: Number(headers[":status"]),
    retryAfter: String(headers["retry-after"]),
    text,
  };
}

describe("run --gate, http2", () => {
  const cases = [
    ["stream", 22],
    ["stream", 24],
    ["request", 24],
    ["stream", 26],
  ] as const;
  for (const [API, node] of cases) {
    it(`refuses streams that wait for too long, by ${API}, Node ${node}`, async (t) => {
      const flags = ["--gate", "1"];
      const service = await startService(t, { entry, workers: 1, flags, node, env: { API } });
      const target = await service.target();
      assert.ok("port" in target);
      const session = http2.connect(`http://${target.host}:${target.port}`);
      t.after(() => session.destroy());
      const bodies = [undefined, undefined, LONG_BODY, undefined];
      const asked = bodies.map((body) => ask(session, "/?ms=1300", body));
      const [first, ...refused] = await within("all answers", Promise.all(asked));
      assert.deepEqual([first?.status, first?.text], [200, "done"]);
      for (const { status, retryAfter, text } of refused) {
        assert.equal(status, 503);
        assert.match(retryAfter, /^[1-9]\d*$/);
        assert.match(text, /^Too much to do \(wait\)/);
      }
      // the connection and what is let in go on
      const { text } = await within("the counts", ask(session, "/counts"));
      assert.deepEqual(JSON.parse(text), { entered: 1 });
      const page = (await service.control("work")).stdout.toString();
      assert.match(page, /^http\.in +0 +1 +0 +0 +2 +3 wait$/m);
      session.destroy(); // the service would wait for it
    });
  }

  it("ends the connection of a client that takes nothing and holds too much", async (t) => {
    const flags = ["--gate", "auto"];
    const service = await startService(t, { entry, workers: 1, flags });
    const target = await service.target();
    assert.ok("port" in target);
    const sessions = [1, 2].map(() => http2.connect(`http://${target.host}:${target.port}`));
    const [stuck, well] = sessions;
    assert.ok(stuck !== undefined && well !== undefined);
    t.after(() => sessions.forEach((each) => each.destroy()));
    const stream = stuck.request({ ":path": "/large" });
    stream.pause();
    await within("it is ended", once(stream, "close"));
    assert.equal(stream.rstCode, http2.constants.NGHTTP2_CANCEL);
    assert.equal((await within("the other's", ask(well, "/"))).text, "done");
    const page = (await service.control("work")).stdout.toString();
    assert.match(page, /^connection-bytes +0 +0 +0 +1 /m);
    well.destroy();
  });
});
