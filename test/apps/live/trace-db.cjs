// A module as an application has it: an async function, and one that may throw.
exports.query = async (text) => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  return `rows of ${text}`;
};
exports.check = (name) => `${name} is fine`;
exports.keep = (value) => void value;
