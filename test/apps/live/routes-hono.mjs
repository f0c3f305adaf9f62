import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { routePath } from "hono/route";
import { setRoute } from "holdfast/trace";

const app = new Hono();
app.use(async (context, next) => {
  await next();
  setRoute(context.env.incoming, routePath(context, -1));
});
app.get("/api/orders/:order", (context) => context.text(context.req.param("order")));
serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 0) });
