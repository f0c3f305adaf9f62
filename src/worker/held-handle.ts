/**
 * Handles whose writes and closes are announced to the ledger before they happen. Subclasses of
 * Node's own `TCP` and `Pipe`, so that everything that takes a handle takes these too.
 */
import type {
  Account,
  HeldStreamHandle,
  StreamHandle,
  StreamHandleClass,
} from "./node-internals.ts";
import { resetConnection } from "../os/mod.ts";

/** Node's methods by other names: V8 calls what the handle itself has faster than `super`. */
const NODE_METHODS = {
  nodeWriteUtf8String: "writeUtf8String",
  nodeWriteLatin1String: "writeLatin1String",
  nodeWriteAsciiString: "writeAsciiString",
  nodeWriteBuffer: "writeBuffer",
  nodeWritev: "writev",
} as const;

export type HeldClass = new (type: number) => HeldStreamHandle;

/** A subclass of a handle class that tells its `account` of each write and of the close. */
export function heldClass(base: StreamHandleClass): HeldClass {
  const held = class extends base implements HeldStreamHandle {
    account: Account | null = null;
    declare nodeWriteUtf8String: StreamHandle["writeUtf8String"];
    declare nodeWriteLatin1String: StreamHandle["writeLatin1String"];
    declare nodeWriteAsciiString: StreamHandle["writeAsciiString"];
    declare nodeWriteBuffer: StreamHandle["writeBuffer"];
    declare nodeWritev: StreamHandle["writev"];

    override writeUtf8String(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = this.nodeWriteUtf8String(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeLatin1String(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = this.nodeWriteLatin1String(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeAsciiString(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = this.nodeWriteAsciiString(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeBuffer(request: object, bytes: Uint8Array): number {
      this.account?.beforeWrite(null, null, true);
      const errno = this.nodeWriteBuffer(request, bytes);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writev(request: object, chunks: readonly unknown[], allBuffers: boolean): number {
      this.account?.beforeWrite(null, chunks, allBuffers);
      const errno = this.nodeWritev(request, chunks, allBuffers);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override close(callback?: () => void): void {
      this.account?.beforeClose();
      this.account = null;
      super.close(callback);
    }

    override reset(callback?: () => void): number {
      if (this.account !== null && this.fd >= 0) resetConnection(this.fd);
      this.account?.beforeClose();
      this.account = null;
      return super.reset?.(callback) ?? 0;
    }
  };
  for (const [name, inherited] of Object.entries(NODE_METHODS)) {
    // looked at, not called
    const prototype = base.prototype as StreamHandle;
    Object.defineProperty(held.prototype, name, { value: prototype[inherited] });
  }
  Object.defineProperty(held, "name", { value: base.name });
  return held;
}
