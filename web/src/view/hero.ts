// The first screen: who answers, from what, and questions to begin with.
import type { Assistant } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { words } from "../words.js";
import { fill, h, icon } from "./dom.js";

const MOST_QUESTIONS = 4;

/** What it knows, with the number of documents where the owner's words do not give it. */
function introduction({ introduction: own, documentCount: count }: Assistant): string {
  if (!own) return words.intro(count);
  return count === undefined || own.includes(String(count)) ? own : `${own} ${words.library(count)}`;
}

/** The first screen. */
export class Hero {
  readonly element = h("div", { class: "hero" });

  /** Says what could not be loaded, in place of everything else. */
  fail(text: string, retry: () => void): void {
    fill(
      this.element,
      h("p", { class: "hero-intro", role: "status", text }),
      h("button", { type: "button", class: "pill", on: { click: retry } }, icon("retry"), h("span", { text: words.tryAgain })),
    );
  }

  /** Introduces the assistant; undefined: it is being asked for. */
  update(assistant: Assistant | undefined, ask: (question: string) => void): void {
    if (!assistant) {
      fill(this.element);
      return;
    }
    const questions = assistant.sampleQuestions.slice(0, MOST_QUESTIONS);
    fill(
      this.element,
      h("h2", { class: "hero-name", text: assistant.displayName }),
      h("p", { class: "hero-intro", text: introduction(assistant) }),
      questions.length ? h("h3", { class: "hero-label", text: words.tryAsking }) : undefined,
      h(
        "ul",
        { class: "samples", role: "list" },
        ...questions.map((text) =>
          h("li", {}, h("button", { type: "button", class: "sample", on: { click: () => ask(text) } }, h("span", { text }), icon("right"))),
        ),
      ),
    );
  }
}
