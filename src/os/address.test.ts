import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AF_INET, AF_INET6, UNIX_PATH_BYTES_MAX, decodeAddress, encodeAddress } from "./address.ts";
import type { SocketAddress } from "./address.ts";

function roundTrip(address: SocketAddress): SocketAddress | null {
  const encoded = encodeAddress(address);
  assert.ok(encoded !== null, JSON.stringify(address));
  return decodeAddress(encoded.bytes, encoded.length);
}

const port = fc.integer({ min: 0, max: 65_535 });
const words = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});

describe("socket addresses", () => {
  it("IPv4 there and back", () => {
    fc.assert(
      fc.property(fc.ipV4(), port, (address, number) => {
        const given = { address, family: 4, port: number } as const;
        assert.deepEqual(roundTrip(given), given);
      }),
    );
  });

  it("IPv6 in every notation means the same bytes, and comes back in the shortest one", () => {
    fc.assert(
      fc.property(words, port, (eight, number) => {
        const long = eight.map((word) => word.toString(16).padStart(4, "0")).join(":");
        const back = roundTrip({ address: long, family: 6, port: number });
        assert.equal(back?.port, number);
        const text = back?.address ?? "";
        assert.ok(isIPv6(text) && text.length <= long.length, text);
        const again = encodeAddress({ address: text, family: 6, port: number });
        const first = encodeAddress({ address: long, family: 6, port: number });
        assert.deepEqual(again, first);
        // Node's own parser and printer (WHATWG URL prints RFC 5952, but never dotted)
        if (!text.includes(".")) assert.equal(new URL(`http://[${long}]/`).hostname, `[${text}]`);
      }),
    );
  });

  it("IPv6 that other programs write", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const encoded = encodeAddress({ address, family: 6, port: 0 });
        const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
        assert.deepEqual(encoded, encodeAddress({ address: plain, family: 6, port: 0 }));
      }),
    );
  });

  const texts: [string, string][] = [
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:127.0.0.1", "::ffff:127.0.0.1"],
    ["::ffff:7f00:1", "::ffff:127.0.0.1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:0:2:0:0:3:4", "1::2:0:0:3:4"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["2001:DB8::A", "2001:db8::a"],
  ];
  for (const [given, expected] of texts) {
    it(`${given} is ${expected}`, () => {
      assert.equal(roundTrip({ address: given, family: 6, port: 1 })?.address, expected);
    });
  }

  it("the C layout of ip(7) and ipv6(7)", () => {
    const four = encodeAddress({ address: "1.2.3.4", family: 4, port: 0x1234 });
    assert.equal(four?.length, 16);
    assert.equal(four?.bytes.readUInt16LE(0), AF_INET);
    assert.deepEqual([...(four?.bytes.subarray(2, 8) ?? [])], [0x12, 0x34, 1, 2, 3, 4]);
    const six = encodeAddress({ address: "fe80::5", family: 6, port: 0x1234 }, 77);
    assert.equal(six?.length, 28);
    assert.equal(six?.bytes.readUInt16LE(0), AF_INET6);
    assert.deepEqual([...(six?.bytes.subarray(2, 10) ?? [])], [0x12, 0x34, 0, 0, 0, 0, 0xfe, 0x80]);
    assert.equal(six?.bytes[23], 5);
    assert.equal(six?.bytes.readUInt32LE(24), 77);
  });

  it("unix paths there and back: as long as the kernel takes, and abstract ones", () => {
    const longest = `/${"a".repeat(UNIX_PATH_BYTES_MAX - 1)}`;
    for (const address of ["/run/x.sock", "relative.sock", "/tmp/ü", longest, "\0abstract"]) {
      const given = { address, family: 0, port: 0 } as const;
      assert.deepEqual(roundTrip(given), given);
    }
    const unnamed = Buffer.alloc(110);
    unnamed.writeUInt16LE(1, 0);
    assert.equal(decodeAddress(unnamed, 2)?.address, "");
  });

  it("text that is no address is null", () => {
    const wrong: SocketAddress[] = [
      { address: "/".repeat(UNIX_PATH_BYTES_MAX + 1), family: 0, port: 0 },
      { address: "localhost", family: 4, port: 0 },
      { address: "::1", family: 4, port: 0 },
      { address: "1.2.3", family: 4, port: 0 },
      { address: "1.2.3.4", family: 6, port: 0 },
      { address: "1::2::3", family: 6, port: 0 },
      { address: "", family: 6, port: 0 },
    ];
    for (const address of wrong) assert.equal(encodeAddress(address), null, address.address);
  });

  it("any bytes decode to an address or to null", () => {
    const bytes = fc.uint8Array({ minLength: 110, maxLength: 110 });
    fc.assert(
      fc.property(bytes, fc.constantFrom(1, 2, 10, 16, 99), fc.nat(400), (any, family, length) => {
        const buffer = Buffer.from(any);
        buffer.writeUInt16LE(family, 0);
        const decoded = decodeAddress(buffer, length);
        assert.equal(decoded === null, family > 10);
      }),
    );
  });
});
