// The first screen: who answers, from what, and questions to begin with.
import type { Assistant } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { words } from "../words.js";
import { fill, h, icon } from "./dom.js";

const MOST_QUESTIONS = 4;

/** The first screen. */
export class Hero {
  readonly element = h("div", { class: "hero" });

  /** `assistant` undefined: it is being asked for, or cannot be reached. */
  update(assistant: Assistant | undefined, unreachable: boolean, ask: (question: string) => void, retry: () => void): void {
    if (!assistant) {
      fill(
        this.element,
        unreachable && h("p", { class: "hero-intro", role: "status", text: words.unreachable }),
        unreachable && h("button", { type: "button", class: "pill", on: { click: retry } }, icon("retry"), h("span", { text: words.tryAgain })),
      );
      return;
    }
    const questions = assistant.sampleQuestions.slice(0, MOST_QUESTIONS);
    fill(
      this.element,
      h("h2", { class: "hero-name", text: assistant.displayName }),
      h("p", { class: "hero-intro", text: assistant.introduction || words.intro(assistant.documentCount) }),
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
