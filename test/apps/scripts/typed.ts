interface Greeting {
  readonly text: string;
}

const greeting: Greeting = { text: "typed" };
console.log(greeting.text satisfies string);
process.exitCode = 5;
