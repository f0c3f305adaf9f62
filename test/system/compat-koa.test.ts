import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("Koa", "koa.cjs");
