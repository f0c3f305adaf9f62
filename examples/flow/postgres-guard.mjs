// pg against a PostgreSQL that is busy: guard() bounds what waits, and tells the rest. Needs a
// server: PGHOST, PGUSER and so on say which (Debian: apt-get install postgresql).
//
//   npm run example -- postgres-guard
import pg from "pg";
import { guard } from "holdfast/flow";

const pool = new pg.Pool({ max: 5 });
const guarded = guard(pool, { limit: 5, queue: { max: 20 } });
const queries = Array.from({ length: 100 }, () => guarded.query("SELECT pg_sleep(0.05), 42 AS x"));
const results = await Promise.allSettled(queries);
const refused = results.filter(({ reason }) => reason?.code === "ERR_HOLDFAST_OVERLOADED").length;
const other = results.find(({ reason }) => reason && reason.code !== "ERR_HOLDFAST_OVERLOADED");
if (other) throw other.reason;
console.log(`100 queries at once: ${100 - refused} answered, ${refused} refused at once`);
console.log(`the rest of the client is as it was: ${guarded.totalCount} connections`);
await guarded.end();
