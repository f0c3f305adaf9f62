import type { Server } from "node:http";
import { value } from "./imported.mjs";

const nothing: Server | undefined = undefined;
console.log(nothing, value.imported as boolean);
