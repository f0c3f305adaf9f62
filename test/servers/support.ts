/** Real servers, from the machine's packages, each in a folder and on a socket of its own. */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { waitFor, within } from "../system/support/wait.ts";

export interface Server {
  /** Path of its socket. */
  readonly socket: string;
  readonly pid: number;
}

export interface Owner {
  after(hook: () => Promise<void>): void;
}

const PACKAGES = "On Debian: apt-get install redis-server postgresql";
const POSTGRES = "/usr/lib/postgresql";

function folder(owner: Owner, name: string): string {
  const made = mkdtempSync(path.join(os.tmpdir(), `${name}-`));
  owner.after(async () => rmSync(made, { recursive: true, force: true }));
  chmodSync(made, 0o777); // another user's server lives there
  return made;
}

async function listening(owner: Owner, child: ChildProcess, socket: string): Promise<Server> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => (output += `${error.message}. ${PACKAGES}`));
  owner.after(async () => {
    child.kill("SIGCONT");
    child.kill("SIGINT"); // both end at once by it
    if (child.pid !== undefined) await within("the server's end", ended);
  });
  await waitFor(
    "the server",
    () => connects(socket),
    20_000,
    () => output,
  );
  return { socket, pid: child.pid ?? 0 };
}

function connects(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = net.connect(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", () => resolve(false));
  });
}

export async function startRedis(owner: Owner): Promise<Server> {
  const where = folder(owner, "redis");
  const socket = path.join(where, "redis.sock");
  const args = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", where];
  return listening(owner, spawn("redis-server", args), socket);
}

/** The newest version that is there; it refuses to run as root. */
export async function startPostgres(owner: Owner): Promise<Server> {
  const versions = existsSync(POSTGRES) ? readdirSync(POSTGRES) : [];
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error(`${POSTGRES} is not there. ${PACKAGES}`);
  const where = folder(owner, "postgres");
  const data = path.join(where, "data");
  const program = (name: string): string => path.join(POSTGRES, newest, "bin", name);
  const asUser = (command: readonly string[]): [string, string[]] =>
    process.getuid?.() === 0
      ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", ...command]]
      : [command[0] ?? "", command.slice(1)];
  const init = spawnSync(
    ...asUser([program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]),
    { encoding: "utf8", cwd: where },
  );
  if (init.status !== 0) throw new Error(`initdb: ${init.stderr} ${init.error?.message ?? ""}`);
  const [command, args] = asUser([program("postgres"), "-D", data, "-k", where, "-h", ""]);
  const child = spawn(command, [...args, "-F"], { cwd: where });
  return listening(owner, child, path.join(where, ".s.PGSQL.5432"));
}
