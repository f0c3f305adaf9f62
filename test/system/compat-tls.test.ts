/**
 * TLS that ends inside the application: https, raw TLS and HTTP/2. Their state lives in the
 * worker, so a connection stays with it; ticket keys are shared, as under node:cluster, so that a
 * session resumes in whichever worker the client comes to next.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import https from "node:https";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import tls from "node:tls";
import { app } from "./support/paths.ts";
import { DRAIN_TIMEOUT_MS, reloadWithStayingClient } from "./support/reload.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Answer {
  readonly text: string;
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
}

describe("TLS in the application", () => {
  it("https answers from both workers, takes bodies, and resumes sessions", async (t) => {
    const { address } = await start(t, "https");
    const body = "b".repeat(100_000);
    assert.equal((await request(address, { method: "POST", body })).text, body);
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const first = await request(address, { maxVersion });
      assert.ok(first.session !== undefined, "the server gives a session ticket");
      assert.equal(first.resumed, false);
      const { session } = first;
      const pids = new Set<string>();
      await waitFor("answers of both workers", async () => {
        // Several at once, so that a placement by load has a reason to use every worker.
        const ask = () => request(address, { maxVersion, session });
        for (const answer of await Promise.all([ask(), ask(), ask(), ask()])) {
          assert.ok(answer.resumed, `${maxVersion} session resumed by ${answer.text}`);
          pids.add(answer.text);
        }
        return pids.size === 2;
      });
    }
  });

  it("an https connection stays through a reload until the drain deadline", async (t) => {
    const { service, address } = await start(t, "https");
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => {
      agent.destroy();
    });
    const first = await request(address, { agent });
    const sockets = Object.values(agent.freeSockets).flat();
    const [socket] = sockets;
    assert.ok(socket !== undefined);
    const { after } = await reloadWithStayingClient(service, {
      exchange: async () => assert.equal((await request(address, { agent })).text, first.text),
      ended: once(socket, "close"),
    });
    assert.ok(after.includes(Number((await request(address, {})).text)));
  });

  it("raw TLS echoes", async (t) => {
    const { address } = await start(t, "tls");
    const socket = tls.connect({ ...address, rejectUnauthorized: false });
    let received = "";
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString();
    });
    await within("handshake", once(socket, "secureConnect"));
    const text = "t".repeat(200_000);
    socket.write(text);
    await waitFor("echo", () => received.replace(/^\d+\n/, "") === text);
    socket.end();
    await within("close", once(socket, "close"));
  });

  it("HTTP/2 serves many streams on one connection", async (t) => {
    const { address } = await start(t, "http2");
    const url = `https://${address.host}:${address.port}`;
    const session = http2.connect(url, { rejectUnauthorized: false });
    const ask = async (body: string): Promise<string> => {
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.end(body);
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      return text;
    };
    const bodies = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(5_000));
    assert.deepEqual(await within("streams", Promise.all(bodies.map(ask))), bodies);
    session.close();
    await within("close", once(session, "close"));
  });
});

async function start(
  t: TestContext,
  protocol: string,
): Promise<{ service: Service; address: Address }> {
  const service = await startService(t, {
    entry: app("https.cjs"),
    flags: ["--drain-timeout", `${DRAIN_TIMEOUT_MS}ms`],
    env: { PROTOCOL: protocol },
  });
  const address = await service.target();
  assert.ok("port" in address);
  return { service, address };
}

interface HttpsOptions {
  readonly method?: string;
  readonly body?: string;
  readonly agent?: https.Agent;
  readonly maxVersion?: tls.SecureVersion;
  readonly session?: Buffer;
}

/** One request; without an agent on a connection of its own. */
function request(address: Address, options: HttpsOptions): Promise<Answer> {
  const { body = "", agent = false, ...rest } = options;
  return within(
    "answer over TLS",
    new Promise((resolve, reject) => {
      const outgoing = https.request({ ...address, rejectUnauthorized: false, agent, ...rest });
      let session: Buffer | undefined;
      outgoing.on("error", reject);
      outgoing.on("socket", (socket) => {
        socket.on("session", (bytes: Buffer) => {
          session = bytes;
        });
      });
      outgoing.on("response", (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on("end", () => {
          const resumed = response.headers["x-resumed"] === "true";
          resolve({ text, resumed, session });
        });
      });
      outgoing.end(body);
    }),
  );
}
