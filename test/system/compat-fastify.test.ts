import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("Fastify 5", "fastify.mjs");
