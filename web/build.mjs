// Builds the client: `node build.mjs` into dist/, `node build.mjs --tests` the tests into ../build/web-tests/,
// `node build.mjs --dev` the replay server into ../build/web-dev/. The output depends on the sources and pinned tools alone.
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { globSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.dirname(HERE);
/** What a reader loads on the first visit: scripts and style, gzipped. */
export const BUDGET_BYTES = 60 * 1024;

const shared = {
  absWorkingDir: HERE,
  bundle: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  // The generated code lies outside this folder; its imports are found here, and it is addressed by name.
  nodePaths: [path.join(HERE, "node_modules")],
  alias: { "@gen": path.join(ROOT, "gen/ts") },
  tsconfigRaw: { compilerOptions: { target: "ES2023", strict: true } },
};

/** The client speaks binary alone; the transport's JSON codec would be a fifth of the bundle and is never called. */
const withoutJson = {
  name: "without-json",
  setup(build) {
    build.onLoad({ filter: /@bufbuild\/protobuf\/dist\/esm\/(from|to)-json\.js$/ }, async ({ path: file }) => {
      const source = await readFile(file, "utf8");
      const names = [...source.matchAll(/^export (?:async )?(?:function|const) (\w+)/gm)].map(([, name]) => name);
      const refuse = 'throw new Error("the client speaks binary alone");';
      return { contents: names.map((name) => `export function ${name}() { ${refuse} }`).join("\n") };
    });
  },
};

/** The files of the client by name. */
export async function bundle() {
  const browser = { ...shared, write: false, minify: true, target: ["chrome123", "firefox120", "safari17.5"], outdir: "out", plugins: [withoutJson] };
  const [modules, head, style] = await Promise.all([
    build({ ...browser, format: "esm", entryPoints: { app: "src/main.ts", states: "src/states/main.ts" } }),
    build({ ...browser, format: "iife", entryPoints: { head: "src/head.ts" } }),
    build({ ...browser, entryPoints: { app: "src/styles/app.css", states: "src/styles/states.css" } }),
  ]);
  const files = new Map();
  for (const file of [...modules.outputFiles, ...head.outputFiles, ...style.outputFiles]) {
    files.set(path.basename(file.path), Buffer.from(file.contents));
  }
  files.set("favicon.svg", await readFile(path.join(HERE, "src/favicon.svg")));
  // A cache may keep a file for as long as it likes: the page names each by its content.
  let page = await readFile(path.join(HERE, "src/index.html"), "utf8");
  for (const [name, content] of files) {
    const digest = createHash("sha256").update(content).digest("hex").slice(0, 12);
    page = page.replaceAll(`="${name}"`, `="${name}?v=${digest}"`);
  }
  files.set("index.html", Buffer.from(page));
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Bytes of scripts and style on the first visit, gzipped. */
export function firstVisitBytes(files) {
  return ["app.js", "head.js", "app.css"].reduce((sum, name) => sum + gzipSync(files.get(name), { level: 9 }).length, 0);
}

async function node(entries, out) {
  await rm(out, { recursive: true, force: true });
  await build({ ...shared, platform: "node", format: "esm", target: "node22", entryPoints: entries, outdir: out, sourcemap: "inline", packages: "bundle" });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--tests")) {
    await node(globSync("test/*.test.ts", { cwd: HERE }).sort(), path.join(ROOT, "build/web-tests"));
  } else if (process.argv.includes("--dev")) {
    await node(["dev/replay_server.ts"], path.join(ROOT, "build/web-dev"));
  } else {
    const files = await bundle();
    const out = path.join(HERE, "dist");
    await rm(out, { recursive: true, force: true });
    await mkdir(out);
    for (const [name, content] of files) await writeFile(path.join(out, name), content);
    console.log(`first visit: ${firstVisitBytes(files)} bytes gzipped of ${BUDGET_BYTES}`);
  }
}
