// prints what V8's compiler does when everybody else's listeners have been called
process.on("exit", () => {
  const status = new Function("f", "return %GetOptimizationStatus(f)");
  console.log(status(status));
});
