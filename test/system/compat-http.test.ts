import { frameworkSuite } from "./support/framework.ts";

frameworkSuite("plain node:http", "http.cjs");
