/**
 * Handles whose writes and closes are announced to the ledger before they happen. Subclasses of
 * Node's own `TCP` and `Pipe`, so that everything that takes a handle takes these too.
 */
import type { Account, HeldStreamHandle, StreamHandleClass } from "./node-internals.ts";
import { resetConnection } from "../os/mod.ts";

export type HeldClass = new (type: number) => HeldStreamHandle;

/** A subclass of a handle class that tells its `account` of each write and of the close. */
export function heldClass(base: StreamHandleClass): HeldClass {
  const held = class extends base implements HeldStreamHandle {
    account: Account | null = null;

    override writeUtf8String(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = super.writeUtf8String(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeLatin1String(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = super.writeLatin1String(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeAsciiString(request: object, text: string): number {
      this.account?.beforeWrite(text, null, false);
      const errno = super.writeAsciiString(request, text);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writeBuffer(request: object, bytes: Uint8Array): number {
      this.account?.beforeWrite(null, null, true);
      const errno = super.writeBuffer(request, bytes);
      this.account?.afterWrite(errno, request);
      return errno;
    }

    override writev(request: object, chunks: readonly unknown[], allBuffers: boolean): number {
      this.account?.beforeWrite(null, chunks, allBuffers);
      const errno = super.writev(request, chunks, allBuffers);
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
  Object.defineProperty(held, "name", { value: base.name });
  return held;
}
