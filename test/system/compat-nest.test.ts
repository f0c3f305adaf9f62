import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("NestJS", "nest.mjs");
