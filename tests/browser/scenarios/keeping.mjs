// What is kept: transcript, draft and scroll over a reload, conversations, opinions, language and appearance, what is copied.
import { answered, answerText, ask, finished, until } from "../visit.mjs";

/** Asks twice, writes a draft, scrolls, and reloads. */
export async function reload(visit, { questions }) {
  const page = await visit.open({ height: 420 });
  for (const question of questions) await answered(page, question);
  await page.fill(".composer textarea", "a draft that is not sent");
  const look = () =>
    page.evaluate(() => ({
      texts: [...document.querySelectorAll(".turn")].map((turn) => turn.querySelector(".question").textContent + turn.querySelector(".answer").textContent),
      outcomes: [...document.querySelectorAll(".turn")].map((turn) => turn.dataset.outcome),
      draft: document.querySelector(".composer textarea").value,
      scroll: Math.round(document.querySelector(".scroll").scrollTop),
      cards: document.querySelectorAll(".source").length,
    }));
  await page.evaluate(() => {
    document.querySelector(".scroll").scrollTop = 40;
  });
  const before = await look();
  await page.reload();
  await page.waitForSelector(`.turn:nth-child(${questions.length})`);
  await page.waitForSelector(".conversation");
  const after = await look();
  // A citation of a restored answer opens as before.
  await page.locator(".turn .cite").first().click();
  await page.waitForSelector(".panel mark");
  return { before, after, marked: await page.locator(".panel mark").first().textContent() };
}

/** Two conversations: open the first one again, delete the second. */
export async function conversations(visit, { questions: [first, second] }) {
  const page = await visit.open();
  const titles = () => page.locator(".conversation-title").allTextContents();
  await answered(page, first);
  await page.keyboard.press("Alt+n");
  await page.waitForSelector(".hero:not([hidden])");
  await answered(page, second);
  await until(async () => (await titles()).length === 2, "two conversations");
  const listed = await titles();
  await page.locator(".conversation", { hasText: first }).click();
  await page.waitForSelector(".turn");
  const opened = await page.textContent(".question");
  await page.goBack();
  await until(async () => (await page.textContent(".question")) === second, "the second conversation");
  const remove = page.locator("li", { hasText: second }).locator(".remove");
  await remove.focus();
  await remove.press("Enter");
  await page.waitForSelector("dialog[open]");
  const question = await page.innerText("dialog");
  await page.keyboard.press("Escape");
  const cancelled = (await titles()).length;
  await remove.press("Enter");
  await page.locator("dialog .danger").click();
  await until(async () => (await titles()).length === 1, "one conversation");
  return { listed, opened, question, cancelled, left: await titles(), empty: await page.isVisible(".hero") };
}

/** Rates an answer with a reason, and copies it. */
export async function opinion(visit, { question }) {
  const page = await visit.open();
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await answered(page, question);
  const turn = page.locator(".turn:last-child");
  const button = (name) => turn.getByRole("button", { name });
  await button("Bad answer").click();
  await turn.locator(".why textarea").fill("It misses the dose.");
  await turn.locator(".why button").click();
  await until(() => turn.locator(".why").isHidden(), "the form's end");
  const note = await turn.locator(".note").textContent();
  await button("Copy with citations").click();
  await until(async () => (await turn.locator(".note").textContent()) === "Copied", "the copy");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const text = await answerText(page);
  await page.reload();
  await page.waitForSelector(".turn");
  return { note, copied, text, pressed: await button("Bad answer").getAttribute("aria-pressed") };
}

/** German and dark by choice, kept over a reload, and there before anything is painted. */
export async function preferences(visit, { question }) {
  const page = await visit.open({ locale: "de-DE" });
  const german = await page.getAttribute("html", "lang");
  await answered(page, question);
  await page.locator('.side input[value="en"]').check();
  const english = { lang: await page.getAttribute("html", "lang"), send: await page.getAttribute(".send", "aria-label"), turns: await page.locator(".turn").count() };
  await page.locator('.side input[value="dark"]').check();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.addInitScript(() => {
    // The first frame of the reloaded page: what a flash would show.
    requestAnimationFrame(() => {
      window.firstFrame = document.documentElement.dataset.theme;
    });
  });
  await page.reload();
  await page.waitForSelector(".turn");
  return {
    german,
    english,
    dark,
    after: { background: await background(), firstFrame: await page.evaluate(() => window.firstFrame), lang: await page.getAttribute("html", "lang") },
  };
}

/** Every key that the help lists. */
export async function keys(visit, { questions }) {
  const page = await visit.open({ height: 500 });
  const focused = () => page.evaluate(() => document.activeElement.className || document.activeElement.tagName);
  for (const question of questions) await answered(page, question);
  await page.locator(".turn:last-child .summary").focus();
  await page.keyboard.press("/");
  const slash = await focused();
  await page.keyboard.press("Shift+Enter");
  const newline = await page.inputValue(".composer textarea");
  await page.fill(".composer textarea", "");
  await page.keyboard.type("a[b]?/");
  const typed = await page.inputValue(".composer textarea");
  await page.fill(".composer textarea", "");
  await page.locator(".turn:first-child .question").focus();
  await page.keyboard.press("]");
  const next = await page.getAttribute(".turn:first-child .cite.on", "data-cite");
  await page.keyboard.press("]");
  const nextButOne = await page.getAttribute(".turn:first-child .cite.on", "data-cite");
  await page.keyboard.press("[");
  const previous = await page.getAttribute(".turn:first-child .cite.on", "data-cite");
  await page.keyboard.press("Escape");
  const escaped = await focused();
  await page.keyboard.press("Alt+ArrowDown");
  const down = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press("Alt+ArrowUp");
  const up = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press("?");
  const help = await page.innerText("dialog");
  await page.locator("dialog input").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  const off = await page.locator("dialog[open]").count();
  await page.keyboard.press("Alt+n");
  await page.waitForSelector(".hero:not([hidden])");
  return { slash, newline, typed, next, nextButOne, previous, escaped, down, up, help, off };
}

/** On a phone the sources are a sheet that Back closes. */
export async function sheet(visit, { question }) {
  const page = await visit.open({ width: 390, height: 780, hasTouch: true, isMobile: true });
  await answered(page, question);
  const address = page.url();
  await page.locator(".turn:last-child .cite").first().tap();
  await page.waitForSelector(".panel mark");
  const opened = await page.evaluate(() => {
    const panel = document.querySelector(".panel");
    const { bottom, left, width } = panel.getBoundingClientRect();
    return { role: panel.getAttribute("role"), modal: panel.getAttribute("aria-modal"), inert: document.querySelector(".main").inert, bottom, left, width, window: [innerWidth, innerHeight] };
  });
  await page.goBack();
  await until(() => page.evaluate(() => !document.querySelector(".main").inert), "the sheet's end");
  return { opened, shown: await page.isVisible(".panel"), sameAddress: page.url() === address, turns: await page.locator(".turn").count() };
}

/** A question that is asked while the reader is elsewhere does not pull him along; a pill leads to the end. */
export async function jump(visit, { questions }) {
  const page = await visit.open({ height: 420 });
  for (const question of questions) await answered(page, question);
  await page.evaluate(() => {
    document.querySelector(".scroll").scrollTop = 0;
  });
  await until(() => page.isVisible(".jump"), "the pill");
  await ask(page, questions[0]);
  await page.evaluate(() => {
    document.querySelector(".scroll").scrollTop = 0;
  });
  await finished(page);
  const stayed = await page.evaluate(() => document.querySelector(".scroll").scrollTop);
  await page.click(".jump");
  await until(() => page.isHidden(".jump"), "the pill's end");
  const end = await page.evaluate(() => {
    const scroll = document.querySelector(".scroll");
    return scroll.scrollHeight - scroll.clientHeight - scroll.scrollTop;
  });
  return { stayed, end };
}
