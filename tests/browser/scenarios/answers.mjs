// Asking: what is painted and when, what a citation opens, and how the client says that there is no answer.
import { answered, answerText, ask, finished, until } from "../visit.mjs";
import { record, recorded } from "../paints.mjs";

/** Asks and measures the paints. What is measured is left alone: the page asks itself and says when the turn is over. */
export async function paints(visit, { question }) {
  const page = await visit.open();
  await record(page);
  const asked = await page.evaluate((text) => {
    const box = document.querySelector(".composer textarea");
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    return new Promise((resolve) => {
      const now = performance.now();
      const observer = new MutationObserver(() => {
        if (!document.querySelector('.turn:last-child:not([data-outcome="running"])')) return;
        observer.disconnect();
        // Two frames later the end has been painted too.
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(now))));
      });
      observer.observe(document.querySelector(".log"), { childList: true, subtree: true, attributes: true, attributeFilter: ["data-outcome"] });
      box.form.requestSubmit();
    });
  }, question);
  const { frames, shifts, order } = await recorded(page);
  return {
    outcome: await page.getAttribute(".turn:last-child", "data-outcome"),
    frames: frames.map((frame) => ({ ...frame, at: Math.round(frame.at - asked) })),
    claims: await page.locator(".turn:last-child .claim").count(),
    shifts,
    order,
  };
}

/** Opens every citation of an answer in turn. */
export async function citation(visit, { question }) {
  const page = await visit.open();
  const outcome = await answered(page, question);
  const citations = [];
  for (const button of await page.locator(".turn:last-child .cite").all()) {
    const claim = await button.getAttribute("data-of");
    await button.focus();
    const preview = await page.locator(".preview").textContent();
    await page.keyboard.press("Enter");
    // Its neighbours have been loaded when words stand around the passage, or when more can be shown.
    await until(() => page.evaluate(() => !document.querySelector(".panel .passage-note")?.textContent), "the passage");
    await page.waitForSelector(".panel mark");
    const opened = await page.evaluate(() => {
      const passage = document.querySelector(".panel .passage");
      const frame = passage.getBoundingClientRect();
      const marks = [...passage.querySelectorAll("mark")];
      const rect = marks[0].getBoundingClientRect();
      return {
        marked: marks.map((mark) => mark.textContent).join(" "),
        whole: passage.textContent.length,
        offCentre: Math.abs(rect.top + rect.height / 2 - (frame.top + frame.height / 2)) / frame.height,
        scrolls: passage.scrollHeight > passage.clientHeight,
        standing: document.querySelector(".panel .standing")?.textContent,
        title: document.querySelector(".panel h3").textContent,
      };
    });
    const text = await page.evaluate((of) => {
      return [...document.querySelectorAll(`.turn:last-child [data-claim="${of}"]`)].map((piece) => piece.textContent).join("");
    }, claim);
    const lit = await page.locator(".turn:last-child .claim.lit").count();
    await page.keyboard.press("Escape");
    const focusBack = await button.evaluate((element) => element === document.activeElement);
    citations.push({ ...opened, text, lit, preview, label: await button.getAttribute("aria-label"), focusBack });
  }
  return { outcome, citations };
}

/** A question that the documents do not answer. */
export async function abstention(visit, { question }) {
  const page = await visit.open();
  const outcome = await answered(page, question);
  const notice = page.locator(".turn:last-child .notice");
  const before = {
    outcome,
    notice: await notice.innerText(),
    nearest: await page.locator(".nearest li").allInnerTexts(),
    tone: await notice.getAttribute("class"),
    text: await answerText(page),
  };
  await notice.locator(".pill").first().click();
  return { ...before, composer: await page.inputValue(".composer textarea"), focused: await page.evaluate(() => document.activeElement.matches(".composer textarea")) };
}

/** A question that the guard refuses. */
export async function refusal(visit, { question }) {
  const page = await visit.open();
  const outcome = await answered(page, question);
  return {
    outcome,
    notice: await page.locator(".turn:last-child .notice").innerText(),
    text: await answerText(page),
    composer: await page.inputValue(".composer textarea"),
  };
}

/** Stops a turn as soon as the page shows that it runs. */
export async function stopping(visit, { question, key }) {
  const page = await visit.open();
  await page.evaluate((escape) => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".turn:last-child .stage:not(.sending)")) return;
      observer.disconnect();
      if (escape) document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true }));
      else document.querySelector(".send.stop").click();
    }).observe(document.querySelector(".log"), { childList: true, subtree: true });
  }, key);
  await ask(page, question);
  const outcome = await finished(page);
  const notice = await page.locator(".turn:last-child .notice").innerText();
  const label = await page.getAttribute(".send", "aria-label");
  // Continue asks again in the same conversation, and this time nobody stops it.
  await page.locator(".turn:last-child .notice .pill").click();
  await page.waitForSelector(".turn:nth-child(2)");
  return { outcome, notice, label, again: await finished(page), turns: await page.locator(".turn").count() };
}

/** Small talk is answered from a reviewed text, without sources. */
export async function smallTalk(visit, { question }) {
  const page = await visit.open();
  const outcome = await answered(page, question);
  return { outcome, text: await answerText(page), cards: await page.locator(".turn:last-child .card").count(), notices: await page.locator(".notice").count() };
}
