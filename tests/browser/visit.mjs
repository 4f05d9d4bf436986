// One visitor: a browser context of his own, the pages he opens, and what goes wrong in them.
import { startProxy } from "./proxy.mjs";

const WAIT_MS = 30_000;
/** Chromium's own note that a request failed. Scenarios that cut the connection expect it. */
const NETWORK_NOTE = /Failed to load resource: net::ERR_/;

/** A visitor of the client at `url`. */
export class Visit {
  problems = [];
  foreign = [];
  #browser;
  #closers = [];

  constructor(browser, url) {
    this.#browser = browser;
    this.url = url;
  }

  /** A page with the client, ready for a question. `network`: whether failed requests are expected. */
  async open({ width = 1280, height = 800, scheme = "light", locale = "en-GB", url = this.url, hash = "", network = false, ...more } = {}) {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale, reducedMotion: "reduce", ...more });
    this.#closers.push(() => context.close());
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.problems.push(`page: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (!(network && NETWORK_NOTE.test(message.text()))) this.problems.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) this.foreign.push(request.url());
    });
    await page.goto(`${url}/${hash}`);
    await page.waitForSelector(hash ? ".state" : ".sample, .turn");
    return page;
  }

  /** A proxy in front of the client's server, which can cut and hold. */
  async proxy() {
    const proxy = await startProxy(new URL(this.url));
    this.#closers.push(() => proxy.close());
    return proxy;
  }

  /** What the pages show, for the message of a failure. */
  async describe() {
    const shown = [];
    for (const context of this.#browser.contexts()) {
      for (const page of context.pages()) {
        shown.push(await page.evaluate(() => `${location.href}\n${document.body.innerText.slice(0, 1500)}`).catch((error) => error.message));
      }
    }
    return [...this.problems, ...shown].join("\n");
  }

  async close() {
    for (const close of this.#closers.reverse()) await close();
  }
}

/** Asks a question. */
export async function ask(page, question) {
  const before = await page.locator(".turn").count();
  await page.fill(".composer textarea", question);
  await page.press(".composer textarea", "Enter");
  await page.locator(".turn").nth(before).waitFor();
}

/** Waits for the end of the last turn. Its outcome. */
export async function finished(page) {
  await page.waitForSelector('.turn:last-child:not([data-outcome="running"])');
  return page.getAttribute(".turn:last-child", "data-outcome");
}

/** Asks and waits for the end. */
export async function answered(page, question) {
  await ask(page, question);
  return finished(page);
}

/** The released text of the last turn, without the numbers of its citations. */
export function answerText(page) {
  return page.evaluate(() => {
    const answer = document.querySelector(".turn:last-child .answer")?.cloneNode(true);
    for (const button of answer?.querySelectorAll(".cite") ?? []) button.remove();
    return answer?.textContent ?? "";
  });
}

/** Resolves when `read` gives something true. */
export async function until(read, what, limitMs = WAIT_MS) {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await read();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
