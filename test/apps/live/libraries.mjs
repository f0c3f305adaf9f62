// Libraries that publish on diagnostics channels, each used once at GET /all.
import Fastify from "fastify";
import { Redis } from "ioredis";
import mysql from "mysql2/promise";
import { request } from "undici";

const redis = new Redis({
  port: Number(process.env.REDIS_PORT),
  enableReadyCheck: false,
  lazyConnect: true,
});
redis.on("error", () => undefined);

const app = Fastify();
app.get("/small", async () => "small");
app.get("/all", async () => {
  const { port } = app.server.address();
  await (await request(`http://127.0.0.1:${port}/small`)).body.text();
  await request("http://127.0.0.1:1/nobody").catch(() => undefined);
  if (redis.status === "wait") await redis.connect();
  await redis.get("key");
  await redis
    .multi()
    .get("a")
    .exec()
    .catch(() => undefined); // the server that answers is none
  const database = await mysql.createConnection({
    host: "127.0.0.1",
    port: Number(process.env.MYSQL_PORT),
    user: "shop",
  });
  await database.query("select ?", [1]);
  database.destroy();
  return "all";
});
await app.listen({ port: 0 });
