import fastify from "fastify";

const app = fastify();
app.get("/shops/:shop/items/:item", (request) => `item ${request.params.item}`);
app.get("/shops/:shop", async (request) => `shop ${request.params.shop}`);
app.get("/shops/:shop/spin", async () => {
  for (;;);
});
await app.listen({ port: Number(process.env.PORT ?? 0), host: "127.0.0.1" });
