"use strict";
const express = require("express");

const app = express();
const orders = express.Router();
orders.get("/:id", (req, res) => res.send(`order ${req.params.id}`));
orders.get("/:id/late", async (req, res) => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  res.json({ late: true });
});
orders.get("/:name/spin", () => {
  for (;;);
});
app.use("/api/orders", orders);
app.get(/^\/files\/.*/, (_req, res) => res.sendStatus(204));
app.get("/fail", () => {
  throw new Error("on purpose");
});
app.use((err, _req, res, _next) => res.status(500).send(String(err.message)));
app.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
