// Proves that the committed dist/ is what the sources build, byte for byte, and that it keeps to its budget.
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BUDGET_BYTES, bundle, firstVisitBytes } from "./build.mjs";

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), "dist");
const files = await bundle();
const problems = [];
for (const name of await readdir(dist)) if (!files.has(name)) problems.push(`dist/${name} is built from nothing`);
for (const [name, content] of files) {
  const committed = await readFile(path.join(dist, name)).catch(() => undefined);
  if (!committed) problems.push(`dist/${name} is missing`);
  else if (!committed.equals(content)) problems.push(`dist/${name} is not what the sources build`);
}
const size = firstVisitBytes(files);
if (size > BUDGET_BYTES) problems.push(`the first visit takes ${size} bytes gzipped, more than ${BUDGET_BYTES}`);
for (const problem of problems) console.error(problem);
if (problems.length) console.error("run `npm run build` in web/ and commit dist/");
else console.log(`dist/ is current; first visit ${size} bytes gzipped of ${BUDGET_BYTES}`);
process.exitCode = problems.length ? 1 : 0;
