// Drives the browser client: reads requests as JSON lines on stdin, `{"scenario", "url", "arguments"}`, and answers each with one
// line on stdout, `{"result"}` or `{"error"}`. What a result must be is said by the Python tests; scenarios only act and measure.
import { createInterface } from "node:readline";
import { launch } from "./chromium.mjs";
import { Visit } from "./visit.mjs";
import * as access from "./scenarios/access.mjs";
import * as answers from "./scenarios/answers.mjs";
import * as connection from "./scenarios/connection.mjs";
import * as keeping from "./scenarios/keeping.mjs";

const SCENARIOS = { ...access, ...answers, ...connection, ...keeping };

async function run(browser, { scenario, url, arguments: args = {} }) {
  const act = SCENARIOS[scenario];
  if (!act) throw new Error(`no scenario ${scenario}`);
  const visit = new Visit(browser, url);
  try {
    const measured = await act(visit, args);
    // Whatever a scenario is about, the page may have no error and call nobody but its own origin.
    return { ...measured, problems: visit.problems, foreign: visit.foreign };
  } catch (error) {
    error.message += `\n${await visit.describe()}`;
    throw error;
  } finally {
    await visit.close();
  }
}

const browser = await launch();
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const answer = await run(browser, JSON.parse(line)).then(
    (result) => ({ result }),
    (error) => ({ error: String(error.stack ?? error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
