"use strict";
console.log("before the throw");
function fail() {
  throw new TypeError("thrown as asked", { cause: new Error("the cause") });
}
fail();
