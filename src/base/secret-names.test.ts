import assert from "node:assert/strict";
import { it } from "node:test";
import { isSecretName, maskTarget } from "./secret-names.ts";

it("names of secrets are known in every way of writing", () => {
  const secret =
    "Authorization proxy-authorization Cookie Set-Cookie X-Api-Key apiKey API_KEY apikey " +
    "accessToken access_token accesstoken userPassword db.password client_secret privateKey " +
    "x-csrf-token sessionId connect.sid sig pin";
  for (const name of secret.split(" ")) assert.ok(isSecretName(name), name);
  const plain =
    "host accept content-length user-agent key name author authority tokenizer spin design " +
    "pinned sidebar traceparent x-request-id passenger compass";
  for (const name of plain.split(" ")) assert.ok(!isSecretName(name), name);
});

it("a target keeps everything but the values of secret parameters", () => {
  assert.equal(maskTarget("/a/b"), "/a/b");
  assert.equal(maskTarget("/a?q=1&token=abc&x"), "/a?q=1&token=***&x");
  assert.equal(maskTarget("/a?api%5Fkey=abc"), "/a?api%5Fkey=***");
  assert.equal(maskTarget("/a?%zz=1&password=&p=2?token=3"), "/a?%zz=1&password=***&p=2?token=3");
});
