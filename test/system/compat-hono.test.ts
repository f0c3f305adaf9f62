import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("Hono on its Node server", "hono.mjs");
