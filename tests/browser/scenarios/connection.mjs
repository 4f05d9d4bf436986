// Losing the connection: cut at chosen bytes, held while the machine is offline, and a reload in the middle of a turn.
import { answered, answerText, ask, finished, until } from "../visit.mjs";

const STREAM = "/ragmesh.gateway.v1.GatewayService/StreamAnswer";

async function conversationText(page) {
  const claims = await page.locator(".turn:last-child .claim").allTextContents();
  return { text: await answerText(page), claims: claims.length, cites: await page.locator(".turn:last-child .cite").count() };
}

/** What the log of the turn says, read anew from the server. */
async function stored(page) {
  await page.reload();
  await page.waitForSelector(".turn");
  await finished(page);
  return conversationText(page);
}

/** Asks once to learn how long the answer is, then begins a new conversation unless `within`. Bytes of the part `share` of it. */
async function part(page, proxy, question, share, within = false) {
  await answered(page, question);
  const length = proxy.length(STREAM);
  if (within) return Math.floor(length * share);
  await page.keyboard.press("Alt+n");
  await page.waitForSelector(".hero:not([hidden])");
  return Math.floor(length * share);
}

/** Cuts the stream after a part of it, lets the page see that nobody answers, and heals. */
export async function cut(visit, { question, share }) {
  const proxy = await visit.proxy();
  const page = await visit.open({ url: proxy.url, network: true });
  const acted = proxy.loseAfter(STREAM, await part(page, proxy, question, share));
  await ask(page, question);
  await acted;
  await page.waitForSelector(".banner.caution:not([hidden])");
  const banner = await page.innerText(".banner");
  const during = await page.getAttribute(".turn:last-child", "data-outcome");
  const kept = await conversationText(page);
  proxy.heal();
  // Where the page has not come back by itself already.
  await page.evaluate(() => document.querySelector(".banner .link")?.click());
  const outcome = await finished(page);
  const after = await until(() => page.evaluate(() => document.querySelector(".banner.good:not([hidden])")?.textContent), "the word that it is back");
  return { banner, during, kept, outcome, after, resumed: await conversationText(page), stored: await stored(page), turns: await page.locator(".turn").count() };
}

/** Holds the stream and takes the network away; brings both back. */
export async function offline(visit, { question, share }) {
  const proxy = await visit.proxy();
  const page = await visit.open({ url: proxy.url, network: true });
  const acted = proxy.loseAfter(STREAM, await part(page, proxy, question, share), { hold: true });
  await ask(page, question);
  await acted;
  await page.context().setOffline(true);
  await page.waitForSelector(".banner.caution:not([hidden])");
  const banner = await until(() => page.evaluate(() => /lost/i.test(document.querySelector(".banner").innerText) && document.querySelector(".banner").innerText), "the banner");
  proxy.heal();
  await page.context().setOffline(false);
  const outcome = await finished(page);
  await until(() => page.evaluate(() => !document.querySelector(".banner.caution:not([hidden])")), "the banner's end");
  return { banner, outcome, resumed: await conversationText(page), stored: await stored(page) };
}

/** Reloads the page while a turn runs. */
export async function reloadRunning(visit, { question, share, within }) {
  const proxy = await visit.proxy();
  const page = await visit.open({ url: proxy.url, network: true });
  const acted = proxy.loseAfter(STREAM, await part(page, proxy, question, share, within), { hold: true });
  await ask(page, question);
  await acted;
  const before = await page.getAttribute(".turn:last-child", "data-outcome");
  proxy.heal();
  await page.reload();
  await page.waitForSelector(within ? ".turn:nth-child(2)" : ".turn");
  const outcome = await finished(page);
  // The question that was sent again may have turned out to be a turn that was loaded.
  await until(() => page.evaluate(() => !document.querySelector('[data-outcome="running"]')), "the end of every turn");
  return { before, outcome, resumed: await conversationText(page), stored: await stored(page), turns: await page.locator(".turn").count() };
}

/** A session that the server does not take is replaced without a word. */
export async function expiredSession(visit, { question }) {
  const page = await visit.open({ network: true });
  await page.evaluate(() => localStorage.setItem("ragmesh.session", JSON.stringify({ token: "eyJhbGciOiJub25lIn0.e30.", expires: Date.now() + 3_600_000 })));
  await page.reload();
  await page.waitForSelector(".sample");
  visit.problems.length = 0;
  const outcome = await answered(page, question);
  const token = await page.evaluate(() => JSON.parse(localStorage.getItem("ragmesh.session")).token);
  return { outcome, replaced: !token.startsWith("eyJhbGciOiJub25lIn0.e30.") };
}
