/** The operating system as typed functions. Linux; loaded on first use. */
export { decodeAddress, encodeAddress, UNIX_PATH_BYTES_MAX } from "./address.ts";
export type { SocketAddress } from "./address.ts";
export {
  closeDescriptor,
  duplicate,
  flock,
  setCloseOnExec,
  setNonBlocking,
} from "./descriptors.ts";
export { libc, stableBuffer } from "./libc.ts";
export type { Watch, WatchEvents } from "./libc.ts";
export { listeningSockets } from "./listening.ts";
export type { ListeningSocket } from "./listening.ts";
export {
  DESCRIPTORS_PER_PACKET_MAX,
  PACKET_BYTES_MAX,
  PacketChannel,
  socketPair,
  streamPair,
} from "./packet-channel.ts";
export type { PacketListener } from "./packet-channel.ts";
export {
  becomeSubreaper,
  machineNowMs,
  reapProcess,
  setParentDeathSignal,
  signalProcess,
} from "./processes.ts";
export { createMemoryFile, mapMemoryFile } from "./shared-memory.ts";
export {
  acceptConnection,
  discardBytes,
  localAddress,
  openSocket,
  peerAddress,
  resetConnection,
  sendBytes,
  shutdownBoth,
  shutdownWrite,
} from "./sockets.ts";
export type { SocketRequest } from "./sockets.ts";
export { EAGAIN, EMFILE, ENFILE, ESRCH, errnoName, SystemCallError } from "./system-call-error.ts";
export {
  ArrivalReader,
  PeerStateReader,
  peerTrouble,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TcpCountReader,
} from "./tcp-state.ts";
export type { PeerState, TcpCounts } from "./tcp-state.ts";
export {
  ProcessMeter,
  readChildren,
  readMainThread,
  readProcessMemory,
  readProcessStat,
} from "./proc.ts";
export type { MainThreadStat, ProcessMemory, ProcessStat, ProcessUsage } from "./proc.ts";
export { PtraceTracer } from "./ptrace.ts";
export { PtraceWatch } from "./ptrace-watch.ts";
export type { WatchEvent } from "./ptrace-watch.ts";
