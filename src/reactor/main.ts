/**
 * The reactor's process: no user code ever. Started by the keeper with its channel on descriptor 3
 * and the ledger on 4; hears `hello`, then what a former reactor left, then `begin`.
 */
import type { ListenOptions } from "node:net";
import { PACKET_JSON } from "../base/mod.ts";
import type { KeeperToReactor } from "../base/mod.ts";
import { Ledger } from "../ledger/mod.ts";
import { PacketChannel } from "../os/mod.ts";
import { ControlServer, controlRoutes } from "../supervision/mod.ts";
import { Service } from "./service.ts";
import type { Log } from "./service.ts";

const CHANNEL_DESCRIPTOR = 3;
const LEDGER_DESCRIPTOR = 4;

/** Log records go to the keeper as JSON lines on stderr; it renders them. */
const log: Log = (level, message, fields) => {
  process.stderr.write(
    `${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`,
  );
};

function main(): void {
  const ledger = Ledger.attach(LEDGER_DESCRIPTOR);
  const keeper = new PacketChannel(CHANNEL_DESCRIPTOR);
  let service: Service | null = null;
  let control: ControlServer | null = null;
  keeper.onPacket((kind, payload, descriptors) => {
    if (kind !== PACKET_JSON) return;
    const message = JSON.parse(payload.toString()) as KeeperToReactor; // the keeper is our parent
    if (message.type === "ping") {
      keeper.sendJson({ type: "pong" });
      return;
    }
    if (message.type === "hello") {
      service = new Service(ledger, keeper, message, log);
      control = new ControlServer(controlRoutes(service.controlled()), (error) => {
        log("error", "the control socket failed", { error: String(error) });
      });
      return;
    }
    if (message.type === "listener" && message.key === "control") {
      // net takes it; @types/node does not say
      const listening = { fd: descriptors[0] ?? -1 } as ListenOptions;
      control?.listen(listening).catch((error: unknown) => {
        log("error", "cannot serve the control socket", { error: String(error) });
      });
      return;
    }
    if (message.type === "begin") service?.begin();
    else service?.onKeeper(message, descriptors);
  });
  keeper.onClose(() => service?.keeperLost());
  // the terminal's signals reach the whole group; the keeper passes on those that are meant for us
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => undefined);
  process.on("SIGUSR2", () => service?.onKeeper({ type: "signal", signal: "SIGUSR2" }, []));
  process.stderr.on("error", () => undefined); // the keeper has gone: nobody reads
}

main();
