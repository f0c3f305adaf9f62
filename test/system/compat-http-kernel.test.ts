/** Kernel-accept mode: the same behaviour where the workers accept for themselves. */
import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("plain node:http, --accept kernel", "http.cjs", { flags: ["--accept", "kernel"] });
frameworkSuite("Fastify 5, --accept kernel", "fastify.mjs", { flags: ["--accept", "kernel"] });
