import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("Express 5", "express.cjs");
