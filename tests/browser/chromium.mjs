// Starts the Chromium that npm brought, without root and without anything of the system but libc. Knows no page.
import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const REPOSITORY = path.resolve(import.meta.dirname, "../..");
/** Packages are those of web/, which pins them. */
export const fromWeb = createRequire(path.join(REPOSITORY, "web/package.json"));
/** Unpacked once for this machine; the package itself looks into the folder for temporary files only. */
const UNPACKED = path.join(REPOSITORY, "build/chromium");
const UNPACK_LIMIT_MS = 90_000;
const ARGUMENTS = ["--headless=shell", "--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none", "--disable-dev-shm-usage"];

/** A running browser of playwright-core. */
export async function launch() {
  const { chromium } = fromWeb("playwright-core");
  const { executable, bundled } = await unpacked();
  const options = { executablePath: executable, args: ARGUMENTS, timeout: 60_000 };
  try {
    return await chromium.launch(options);
  } catch (error) {
    if (!/error while loading shared libraries/.test(error.message)) throw error;
    // The system lacks libnss3 and friends: the package brings its own.
    return chromium.launch({ ...options, env: { ...process.env, ...bundled } });
  }
}

async function unpacked() {
  await mkdir(UNPACKED, { recursive: true });
  const release = await lock(path.join(UNPACKED, "lock"));
  const before = process.env["TMPDIR"];
  try {
    process.env["TMPDIR"] = UNPACKED;
    const entry = path.join(path.dirname(fromWeb.resolve("@sparticuz/chromium")), "index.js");
    const { default: packed, inflate } = await import(pathToFileURL(entry).href);
    packed.setGraphicsMode = false;
    const executable = await packed.executablePath();
    await inflate(path.join(path.dirname(entry), "../bin/al2023.tar.br"));
    return { executable, bundled: { LD_LIBRARY_PATH: path.join(UNPACKED, "al2023/lib"), FONTCONFIG_PATH: path.join(UNPACKED, "fonts") } };
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    await release();
  }
}

/** One process unpacks at a time: a half written browser looks like a whole one. */
async function lock(file) {
  const deadline = Date.now() + UNPACK_LIMIT_MS;
  for (;;) {
    try {
      const handle = await open(file, "wx");
      await handle.writeFile(String(process.pid));
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const abandoned = await stat(file).then(({ mtimeMs }) => Date.now() - mtimeMs > UNPACK_LIMIT_MS, () => false);
      if (abandoned || !(await alive(file))) await rm(file, { force: true });
      else if (Date.now() > deadline) throw new Error(`${file} is held by another process`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function alive(file) {
  const pid = Number(await readFile(file, "utf8").catch(() => "0"));
  if (!pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
