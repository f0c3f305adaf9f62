/** As guest.cjs, for a module; also what it imports. */
import { processFacts } from "./shared/facts.cjs";

const facts = processFacts();
facts.meta = Object.keys(import.meta);
facts.url = import.meta.url;
console.log(JSON.stringify(facts));
