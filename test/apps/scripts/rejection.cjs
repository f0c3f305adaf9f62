"use strict";
Promise.reject(new Error("rejected as asked"));
setTimeout(() => console.log("never printed"), 1000);
