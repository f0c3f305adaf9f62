import assert from "node:assert/strict";
import { test } from "node:test";
import { inetText } from "./descriptors.ts";

test("addresses of the kernel's tables as people write them", () => {
  assert.equal(inetText("0100007F:1F90", "0200007F:C350"), "127.0.0.1:8080 -> 127.0.0.2:50000");
  assert.equal(inetText("00000000:0050", "00000000:0000"), "0.0.0.0:80");
  const none = "00000000000000000000000000000000:0000";
  assert.equal(inetText("00000000000000000000000000000000:0BB8", none), "[::]:3000");
  assert.equal(inetText("00000000000000000000000001000000:0BB8", none), "[::1]:3000");
  assert.equal(
    inetText("0000000000000000FFFF00000100007F:0BB8", "0000000000000000FFFF00000200007F:C350"),
    "127.0.0.1:3000 -> 127.0.0.2:50000",
  );
  assert.equal(
    inetText("B80D0120000000000000000001000000:01BB", "B80D0120020000000000000000000000:0001"),
    "[2001:db8::1]:443 -> [2001:db8:0:2::]:1",
  );
});
