const express = require("express");
const { wire } = require("./work.cjs");

const app = express();
if (process.env.SHED === "toobusy") {
  const toobusy = require(process.env.PEERS + "/toobusy-js");
  app.use((request, response, next) => {
    if (toobusy()) response.status(503).send("busy");
    else next();
  });
}
app.get("/", (request, response) => {
  wire(() => response.send("done"));
});
// longer than any pause between two requests of a pool
app.listen(Number(process.env.PORT), "127.0.0.1").keepAliveTimeout = 60_000;
