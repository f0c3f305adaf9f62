"use strict";
/** Answers nobody but /ready, and spins for /spin. */
require("node:http")
  .createServer((request, response) => {
    if (request.url === "/ready") response.end("yes");
    else if (request.url === "/spin") for (;;);
  })
  .listen(Number(process.env.PORT ?? 0), "127.0.0.1");
