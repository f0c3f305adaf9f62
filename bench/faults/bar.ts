/** What Holdfast promises for each fault, and where a result falls short of it. */
import { BROKEN_VERSION_SAYS, FAULT_TARGETS } from "./fault.ts";
import type { FaultResult } from "./scenario.ts";

/** One line for each promise that was not kept; empty: the bar is met. */
export function misses(result: FaultResult): string[] {
  const found: string[] = [];
  const expect = (isMet: boolean, what: string): void => {
    if (!isMet) found.push(what);
  };
  const { post, fastLoops, slowLoops, probes, population } = result;
  expect(result.victim.idle > 0, "the victim had no idle connection: nothing was shown");
  expect(result.idleLost.total === 0, `idle connections lost: ${result.idleLost.text}`);
  expect(result.getFailed.total === 0, `GET in flight failed: ${result.getFailed.text}`);
  expect(probes.failed.total === 0, `new connections failed: ${probes.failed.text}`);
  expect(fastLoops.failed.total === 0, `fast loops failed: ${fastLoops.failed.text}`);
  expect(slowLoops.failed.total === 0, `slow loops failed: ${slowLoops.failed.text}`);
  expect(fastLoops.requests > 0 || population.fastLoops === 0, "no fast loop made a request");
  expect(slowLoops.requests > 0 || population.slowLoops === 0, "no slow loop made a request");
  expect(post.executedTwice === 0, `POST executed twice: ${post.executedTwice}`);
  expect(post.wronglyAnswered === 0, `POST answered wrongly: ${post.wronglyAnswered}`);
  expect(
    post.failed.total === post.cleanlyRefused,
    `POST failed without one clean 503 or 502: ${post.failed.text}, clean: ${post.cleanlyRefused}`,
  );
  expect(result.backMs !== null, "not back in time");
  expect(
    result.streamsLostElsewhere === 0 || FAULT_TARGETS[result.fault] !== "worker",
    `event streams lost that other workers served: ${result.streamsLostElsewhere}`,
  );
  if (FAULT_TARGETS[result.fault] === "worker") {
    expect(
      post.executedByVictim > 0 || population.post === 0,
      "the victim had no POST in flight: nothing was shown",
    );
    return found;
  }
  expect(post.failed.total === 0, `POST failed: ${post.failed.text}`);
  expect(result.streamsLost.total === 0, `event streams lost: ${result.streamsLost.text}`);
  if (result.fault === "reload") {
    expect(result.command?.ok !== false, `reload failed: ${result.command?.output ?? ""}`);
  }
  if (result.fault === "reload-broken") {
    expect(result.command?.ok === false, "the reload to a broken version was not refused");
    const why = result.command?.output ?? "";
    expect(why.includes(BROKEN_VERSION_SAYS), `the refusal does not say why: ${why}`);
  }
  return found;
}
