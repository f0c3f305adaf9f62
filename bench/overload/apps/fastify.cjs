const fastify = require("fastify");
const { wire } = require("./work.cjs");

const app = fastify();
if (process.env.SHED === "under-pressure") {
  app.register(require(process.env.PEERS + "/@fastify/under-pressure"), {
    maxEventLoopDelay: 100,
    sampleInterval: 100,
  });
}
app.get("/", (request, reply) => {
  wire(() => reply.send("done"));
});
void app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
