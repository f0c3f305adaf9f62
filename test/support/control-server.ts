/** For tests: answers on a unix socket as the reactor's control socket does, from a table. */
import http from "node:http";
import path from "node:path";
import type { TestContext } from "node:test";

export interface ControlRequestSeen {
  readonly target: string;
  readonly body: unknown;
}

export interface ControlAnswerGiven {
  readonly status?: number;
  /** Sent as JSON, one line each. */
  readonly lines: readonly unknown[];
  /** The connection breaks after the lines. */
  readonly breaks?: boolean;
  /** The server ends after the answer, as a service that stops. */
  readonly closes?: boolean;
}

/** Listens as `<directory>/<name>.sock` and returns what it was asked. */
export async function serveControl(
  context: Pick<TestContext, "after">,
  directory: string,
  name: string,
  answers: Readonly<Record<string, ControlAnswerGiven>>,
): Promise<readonly ControlRequestSeen[]> {
  const seen: ControlRequestSeen[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const target = `${request.method} ${request.url}`;
      seen.push({ target, body: text === "" ? undefined : (JSON.parse(text) as unknown) });
      const answer = answers[target] ?? { status: 404, lines: [{ message: `no ${target}` }] };
      response.writeHead(answer.status ?? 200, { connection: "close" });
      for (const line of answer.lines) response.write(`${JSON.stringify(line)}\n`);
      if (answer.breaks === true) setImmediate(() => request.socket.destroy());
      else response.end();
      if (answer.closes === true) server.close();
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(path.join(directory, `${name}.sock`), resolve);
  await promise;
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return seen;
}
