// The question box: grows to six lines, keeps a draft for each conversation, and its button becomes Stop while a turn runs.
import { utf8Length } from "../text/bytes.js";
import { words } from "../words.js";
import { fill, h, icon, uniqueId } from "./dom.js";

const QUESTION_BYTES = 8192;
const DRAFT_KEY = "ragmesh.draft.";

/** What the composer asks of the page. */
export interface ComposerHost {
  ask(question: string): void;
  stop(): void;
}

/** The composer. */
export class Composer {
  readonly element: HTMLFormElement;
  readonly #host: ComposerHost;
  readonly #box: HTMLTextAreaElement;
  readonly #button = h("button", { class: "send", type: "submit" });
  readonly #warning: HTMLElement;
  #running = false;
  #conversation = "";

  constructor(host: ComposerHost) {
    this.#host = host;
    const id = uniqueId("ask");
    const warning = uniqueId("limit");
    this.#warning = h("p", { class: "limit", id: warning, role: "status" });
    this.#box = h("textarea", { id, rows: 1, autocomplete: "off", "aria-describedby": warning, enterkeyhint: "send", placeholder: words.askPlain });
    this.element = h(
      "form",
      { class: "composer" },
      h("label", { class: "sr", for: id, text: words.question }),
      h("div", { class: "composer-box" }, this.#box, this.#button),
      this.#warning,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#act();
    });
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#running) this.#act();
    });
    this.#paintButton();
  }

  /** What stands in an empty box. */
  set placeholder(text: string) {
    this.#box.placeholder = text;
  }

  get text(): string {
    return this.#box.value;
  }

  /** Puts a text into the box and the caret behind it. */
  edit(text: string): void {
    this.#box.value = text;
    this.#changed();
    this.focus();
    this.#box.setSelectionRange(text.length, text.length);
  }

  focus(): void {
    this.#box.focus();
  }

  /** Takes the focus where that brings up no keyboard over the page. */
  invite(): void {
    if (matchMedia("(pointer: fine)").matches) this.focus();
  }

  /** Turns Send into Stop and back, in place. */
  set running(running: boolean) {
    if (running === this.#running) return;
    this.#running = running;
    this.#paintButton();
  }

  /** Shows the draft of a conversation; "" is the one that is not begun. */
  open(conversation: string): void {
    this.#conversation = conversation;
    this.#box.value = localStorage.getItem(DRAFT_KEY + conversation) ?? "";
    this.#changed();
  }

  #act(): void {
    if (this.#running) {
      this.#host.stop();
      return;
    }
    const question = this.#box.value.trim();
    if (!question || this.#tooLong()) return;
    this.#box.value = "";
    this.#changed();
    this.#host.ask(question);
  }

  #tooLong(): boolean {
    return utf8Length(this.#box.value.trim()) > QUESTION_BYTES;
  }

  #changed(): void {
    const key = DRAFT_KEY + this.#conversation;
    if (this.#box.value) localStorage.setItem(key, this.#box.value);
    else localStorage.removeItem(key);
    this.#warning.textContent = this.#tooLong() ? words.tooLong : "";
    this.#box.style.height = "auto";
    // The stylesheet bounds the height to six lines.
    this.#box.style.height = `${this.#box.scrollHeight}px`;
    this.#paintButton();
  }

  #paintButton(): void {
    const label = this.#running ? words.stop : words.send;
    if (this.#button.title !== label) {
      this.#button.title = label;
      this.#button.setAttribute("aria-label", label);
      fill(this.#button, icon(this.#running ? "stop" : "send"));
    }
    this.#button.classList.toggle("stop", this.#running);
    this.#button.classList.toggle("idle", !this.#running && !this.#box.value.trim());
  }
}
