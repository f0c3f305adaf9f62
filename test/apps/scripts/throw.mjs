console.log("before the throw");
await null;
throw new Error("thrown from a module");
