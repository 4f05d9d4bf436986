// Access for everyone: axe in every state, narrow windows, large targets, and what is spoken.
import { readFile } from "node:fs/promises";
import { fromWeb } from "../chromium.mjs";
import { answered, ask, finished } from "../visit.mjs";

const AXE = fromWeb.resolve("axe-core/axe.min.js");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

async function violations(page, where) {
  // Evaluated, not injected: the page's policy allows no script but its own.
  await page.evaluate(await readFile(AXE, "utf8"));
  const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules, resultTypes: ["violations"] }), RULES);
  return found.violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}

/** Everything on the page of states, in one colour scheme, language and width. */
export async function axeStates(visit, { scheme, locale, width }) {
  const page = await visit.open({ scheme, locale, width, hash: "#states" });
  const states = await page.locator(".state").evaluateAll((all) => all.map((state) => state.dataset.state));
  for (const summary of await page.locator(".summary, .why-source summary").all()) await summary.click();
  return { states, violations: await violations(page, `${scheme} ${locale} ${width}`), wide: await overflow(page) };
}

/** The product: first screen, answer, passage, sheet, list and dialogs. */
export async function axeMain(visit, { question, scheme, width }) {
  const page = await visit.open({ scheme, width, hasTouch: width < 640 });
  const found = await violations(page, "first screen");
  await answered(page, question);
  await page.locator(".turn .summary").click();
  found.push(...(await violations(page, "answer")));
  await page.locator(".turn .cite").first().focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Shift+Tab");
  await page.waitForSelector(".preview:not([hidden])");
  found.push(...(await violations(page, "preview")));
  await page.keyboard.press("Enter");
  await page.waitForSelector(".panel mark");
  found.push(...(await violations(page, "passage")));
  await page.locator(".back").click();
  found.push(...(await violations(page, "sources")));
  await page.keyboard.press("Escape");
  if (width < 900) {
    await page.locator(".menu").click();
    found.push(...(await violations(page, "conversations")));
  }
  await page.locator(".foot-button").click();
  await page.waitForSelector("dialog[open]");
  found.push(...(await violations(page, "help")));
  return { violations: found };
}

function overflow(page) {
  return page.evaluate(() => {
    const tooWide = [...document.querySelectorAll("body *")].filter((element) => {
      if (element.closest(".strip, .sr, .skip")) return false;
      const { left, right, width } = element.getBoundingClientRect();
      return width > 0 && (right > innerWidth + 1 || left < -1);
    });
    return {
      scrolls: document.documentElement.scrollWidth > innerWidth,
      elements: tooWide.slice(0, 5).map((element) => `${element.tagName}.${element.className}`),
    };
  });
}

/** A window of 320 CSS pixels, which is also 1,280 at 400 % zoom. */
export async function narrow(visit, { question, longQuestion }) {
  const page = await visit.open({ width: 320, height: 640, hasTouch: true });
  const seen = { first: await overflow(page) };
  await answered(page, question);
  await page.locator(".turn .summary").click();
  seen.answer = await overflow(page);
  await page.locator(".turn .cite").first().click();
  await page.waitForSelector(".panel mark");
  await page.locator(".why-source summary").click();
  seen.passage = await overflow(page);
  await page.goBack();
  await page.locator(".menu").click();
  seen.conversations = await overflow(page);
  await page.goBack();
  await ask(page, longQuestion);
  await finished(page);
  seen.long = await overflow(page);
  return { seen };
}

/** Everything that can be pressed is large enough; with a finger larger. */
export async function targets(visit, { question, touch }) {
  const page = await visit.open({ width: touch ? 390 : 1280, hasTouch: touch, isMobile: touch });
  await answered(page, question);
  const smallest = touch ? 44 : 24;
  return {
    small: await page.evaluate((size) => {
      const out = [];
      for (const element of document.querySelectorAll("button, a, input, summary")) {
        if (!element.checkVisibility() || element.closest("[inert]") || element.closest(".skip")) continue;
        const own = element.getBoundingClientRect();
        // A citation's target for fingers reaches beyond its box.
        const reach = parseFloat(getComputedStyle(element, "::after").top) || 0;
        const label = element.closest("label")?.getBoundingClientRect() ?? own;
        const [width, height] = [Math.max(own.width, label.width) - 2 * Math.min(0, reach), Math.max(own.height, label.height) - 2 * Math.min(0, reach)];
        if (width < size - 0.5 || height < size - 0.5) out.push(`${element.className || element.tagName} ${Math.round(width)}x${Math.round(height)}`);
      }
      return out;
    }, smallest),
  };
}

/** What a screen reader is told while an answer is made. */
export async function spoken(visit, { question }) {
  const page = await visit.open();
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver((records) => {
      for (const { addedNodes } of records) for (const node of addedNodes) window.said.push(node.textContent);
    }).observe(document.querySelector(".app > [aria-live=polite]"), { childList: true });
  });
  await answered(page, question);
  return {
    said: await page.evaluate(() => window.said),
    log: await page.evaluate(() => {
      const log = document.querySelector("[role=log]");
      return { live: log.getAttribute("aria-live"), label: log.getAttribute("aria-label") };
    }),
    sentences: await page.locator(".turn:last-child .claim").allTextContents(),
  };
}

/** In forced colours and without motion nothing disappears or moves. */
export async function forcedColours(visit, { question }) {
  const page = await visit.open({ forcedColors: "active" });
  await answered(page, question);
  return page.evaluate(() => {
    const cite = getComputedStyle(document.querySelector(".cite span"));
    const pulse = document.createElement("span");
    pulse.className = "pulse";
    document.body.append(pulse);
    const moving = getComputedStyle(pulse).animationName;
    return { border: cite.borderTopStyle, moving };
  });
}
