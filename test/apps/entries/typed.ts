import http, { type RequestListener } from "node:http";

const answer: RequestListener = (req, res): void => {
  res.end(`${process.pid}`);
};
http.createServer(answer).listen(0, "127.0.0.1");
