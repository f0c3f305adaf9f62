import Router from "@koa/router";
import { setRoute } from "holdfast/trace";
import Koa from "koa";

const router = new Router({ prefix: "/api" });
router.get("/orders/:order", (context) => {
  context.body = context.params.order;
});
const app = new Koa();
app.use(async (context, next) => {
  await next();
  setRoute(context.req, context._matchedRoute);
});
app.use(router.routes());
app.listen(Number(process.env.PORT ?? 0));
