// The page under #states: every state that a reader can meet, from fixture logs, painted by the same parts as the product.
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AssistantSchema } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { Thumb } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { LOGS } from "../../fixtures/logs.js";
import type { Entry, TurnActions } from "../model.js";
import type { TurnState } from "../turn/fold.js";
import { asked, fold } from "../turn/fold.js";
import { Composer } from "../view/composer.js";
import { fill, h, icon } from "../view/dom.js";
import { Hero } from "../view/hero.js";
import { Panel } from "../view/panel.js";
import { Sidebar } from "../view/sidebar.js";
import { TurnView } from "../view/turn.js";
import type { CallFailure } from "../wire/errors.js";
import { LANGUAGES, preferredLanguage, setLanguage, words, type Language } from "../words.js";

const nothing = () => undefined;
const failure = (reason: string, extra: Partial<CallFailure> = {}): CallFailure => ({
  reason,
  metadata: {},
  retryAfterMs: undefined,
  code: Code.Unavailable,
  ...extra,
});

function entryOf(name: string, change: Partial<Entry> = {}): Entry {
  const state = (LOGS[name] ?? []).reduce<TurnState>(fold, asked("Does CBD interact with blood thinners?"));
  return { id: name, state, shown: change.state ?? state, link: state.finished ? "over" : "live", failure: undefined, rating: Thumb.UNSPECIFIED, fresh: false, ...change };
}

/** Every turn state by name. */
function entries(): Entry[] {
  return [
    ...Object.keys(LOGS).map((name) => entryOf(name)),
    entryOf("rated", { state: entryOf("answered").state, rating: Thumb.UP }),
    entryOf("rate-limited", { failure: failure("RATE_LIMITED", { retryAfterMs: 12_000 }) }),
    entryOf("conversation-full", { failure: failure("CONVERSATION_FULL") }),
    entryOf("in-progress", { failure: failure("TURN_IN_PROGRESS", { metadata: { turn: "conversations/c1/turns/t9" } }) }),
    entryOf("connection-gave-up", { state: entryOf("streaming").state, failure: failure("") }),
  ];
}

function banners(): HTMLElement[] {
  const lost = (text: string, more: string) =>
    h(
      "div",
      { class: "banner caution" },
      icon("cloud"),
      h("span", { class: "banner-text" }, h("strong", { text }), h("span", { text: ` ${more}` })),
      h("button", { type: "button", class: "link", text: words.tryNow }),
    );
  const good = h("div", { class: "banner good" }, icon("check"), h("span", { class: "banner-text", text: words.resumed }));
  return [lost(words.lost, `${words.reconnecting}…`), lost(words.lostQuestion, words.offline), good];
}

function section(name: string, ...content: HTMLElement[]): HTMLElement {
  return h("section", { class: "state", data: { state: name }, "aria-label": name }, h("p", { class: "state-name", text: name }), ...content);
}

function panelOf(name: string, evidence: number | undefined): HTMLElement {
  const panel = new Panel({ passage: () => new Promise(nothing), lit: nothing, close: nothing, say: nothing });
  const entry = entryOf(name);
  panel.list(entry);
  const shown = evidence === undefined ? undefined : entry.state.evidence[evidence];
  if (shown) panel.show({ ...entry, shown: { ...entry.state, name: "" } }, shown.name);
  panel.element.classList.add("shown-apart");
  panel.element.id = `sources-${name}-${evidence ?? "list"}`;
  panel.element.setAttribute("aria-label", panel.element.id);
  return panel.element;
}

function paint(root: HTMLElement): void {
  const actions: TurnActions = { ask: nothing, edit: nothing, cite: nothing, open: nothing, follow: nothing, rate: () => Promise.resolve(), say: nothing };
  const hero = new Hero();
  const assistant = create(AssistantSchema, {
    displayName: "ChatCBD",
    documentCount: 63,
    sampleQuestions: ["Does CBD interact with blood thinners?", "How much CBD was used in sleep trials?", "Can dogs take CBD?", "Who won the World Cup in 2014?"],
    disclaimer: "Not medical advice",
  });
  hero.update(assistant, nothing);
  const unreachable = new Hero();
  unreachable.fail(words.unreachable, nothing);
  const composer = new Composer({ ask: nothing, stop: nothing });
  const stop = new Composer({ ask: nothing, stop: nothing });
  stop.running = true;
  const sidebar = new Sidebar({ begin: nothing, open: nothing, remove: nothing, more: nothing, hide: nothing, help: nothing, language: (language) => show(root, language) });
  sidebar.element.classList.add("shown-apart");
  const turns = entries().map((entry) => {
    const view = new TurnView(actions);
    view.update(entry);
    if (entry.id === "mixed") view.answer.light(entry.state.evidence[0]?.name);
    return section(entry.id, view.element);
  });
  const links = Object.keys(LANGUAGES).map((language) => h("button", { type: "button", class: "link", text: language, on: { click: () => show(root, language as Language) } }));
  fill(
    root,
    h(
      "main",
      { class: "states" },
      h("header", {}, h("h1", { text: "States" }), h("p", { class: "samples" }, ...links)),
      section("empty", hero.element, composer.element),
      section("unreachable", unreachable.element),
      section("connection", ...banners()),
      ...turns,
      section("composer-running", stop.element),
      section("sidebar", sidebar.element),
      section("panel-list", panelOf("answered", undefined)),
      section("panel-passage", panelOf("answered", 1)),
      section("panel-unverified", panelOf("mixed", 2)),
      section("panel-waiting", panelOf("thinking", undefined)),
    ),
  );
}

function show(root: HTMLElement, language: Language): void {
  setLanguage(language, false);
  paint(root);
}

const root = document.getElementById("app");
if (root) {
  document.title = "ragmesh: states";
  document.head.append(h("link", { rel: "stylesheet", href: "states.css" }));
  show(root, preferredLanguage());
  // The address may be changed by hand: leave for the product when it is no longer this page's.
  addEventListener("hashchange", () => location.hash.startsWith("#states") || location.reload());
}
