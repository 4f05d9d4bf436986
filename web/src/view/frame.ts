// The page's three columns and what slides over them: which part is open, where the focus goes, what Back does.
import { words } from "../words.js";
import { fill, h, icon, iconButton } from "./dom.js";

const SIDE_KEY = "ragmesh.side";
type Sheet = "side" | "panel";

/** The parts that the frame holds. */
export interface FrameParts {
  side: HTMLElement;
  scroll: HTMLElement;
  jump: HTMLElement;
  composer: HTMLElement;
  panel: HTMLElement;
  announcer: HTMLElement;
}

/** The frame. */
export class Frame {
  readonly element: HTMLElement;
  readonly banner = h("div", { class: "banner", role: "status", hidden: true });
  readonly #main: HTMLElement;
  readonly #parts: FrameParts;
  readonly #name = h("button", { type: "button", class: "name" });
  readonly #disclaimer = h("p", { class: "disclaimer" });
  readonly #sourcesButton: HTMLButtonElement;
  readonly #menuButton: HTMLButtonElement;
  /** Column where there is room, otherwise a sheet. */
  readonly #panelIsColumn = matchMedia("(min-width: 1200px)");
  readonly #sideIsColumn = matchMedia("(min-width: 900px)");
  #panelOpen = false;
  #panelWanted = true;
  #sideOpen = false;
  #hasTurns = false;
  #returnTo: HTMLElement | undefined;
  /** Called when the panel has closed. */
  onPanelClosed = () => {};

  constructor(parts: FrameParts, home: () => void) {
    this.#parts = parts;
    this.#menuButton = iconButton("menu", words.openConversations, { class: "menu", "aria-controls": "conversations" });
    this.#menuButton.addEventListener("click", () => this.toggleSide());
    this.#sourcesButton = h("button", { type: "button", class: "pill sources-button", "aria-controls": "sources" }, icon("book"), h("span", { text: words.sources }));
    this.#sourcesButton.addEventListener("click", () => (this.panelShown ? this.closePanel() : this.openPanel(this.#sourcesButton)));
    this.#name.addEventListener("click", home);
    this.#name.title = words.backToStart;
    this.#main = h(
      "main",
      { class: "main" },
      h("header", { class: "bar" }, this.#menuButton, h("h1", {}, this.#name), this.#sourcesButton),
      this.banner,
      parts.scroll,
      h("div", { class: "dock" }, parts.jump, parts.composer, this.#disclaimer),
    );
    const skip = h("button", { type: "button", class: "skip", text: words.skip, on: { click: () => parts.composer.querySelector("textarea")?.focus() } });
    const veil = h("div", { class: "veil", on: { click: () => this.closeSheets() } });
    this.element = h("div", { class: "app" }, skip, parts.side, this.#main, veil, parts.panel, parts.announcer);
    this.#sideOpen = this.#sideIsColumn.matches && localStorage.getItem(SIDE_KEY) !== "closed";
    const relayout = () => {
      this.#sideOpen = this.#sideIsColumn.matches && localStorage.getItem(SIDE_KEY) !== "closed";
      this.#panelOpen = false;
      this.#paint();
    };
    this.#panelIsColumn.addEventListener("change", relayout);
    this.#sideIsColumn.addEventListener("change", relayout);
    this.#paint();
  }

  /** Name and disclaimer of the assistant. */
  introduce(name: string, disclaimer: string): void {
    fill(this.#name, h("span", { text: name }));
    this.#disclaimer.textContent = disclaimer;
  }

  /** Whether there is a turn whose sources could be shown. */
  set hasTurns(has: boolean) {
    this.#hasTurns = has;
    this.#paint();
  }

  get panelShown(): boolean {
    return this.#panelIsColumn.matches ? this.#panelWanted && this.#hasTurns : this.#panelOpen;
  }

  /** Whether a part lies over the others, so that it takes the keys. */
  get sheet(): Sheet | undefined {
    if (!this.#panelIsColumn.matches && this.#panelOpen) return "panel";
    if (!this.#sideIsColumn.matches && this.#sideOpen) return "side";
    return undefined;
  }

  /** Opens the panel; `opener` gets the focus back. */
  openPanel(opener: HTMLElement | undefined): void {
    if (opener) this.#returnTo = opener;
    this.#panelWanted = true;
    if (!this.#panelIsColumn.matches && !this.#panelOpen) {
      this.#panelOpen = true;
      history.pushState({ sheet: "panel" }, "");
    }
    this.#paint();
    if (this.sheet === "panel") this.#parts.panel.querySelector<HTMLElement>(".panel-body")?.focus({ preventScroll: true });
  }

  /** Closes the panel and gives the focus back. */
  closePanel(): void {
    if (this.sheet === "panel") {
      history.back();
      return;
    }
    this.#panelWanted = false;
    this.#paint();
    this.#closed();
  }

  /** Gives the focus back to what opened the panel. */
  giveBack(): void {
    if (this.#returnTo?.isConnected) this.#returnTo.focus({ preventScroll: true });
    this.#returnTo = undefined;
  }

  toggleSide(): void {
    if (this.#sideIsColumn.matches) {
      this.#sideOpen = !this.#sideOpen;
      localStorage.setItem(SIDE_KEY, this.#sideOpen ? "open" : "closed");
      this.#paint();
    } else if (this.#sideOpen) {
      history.back();
    } else {
      this.#sideOpen = true;
      history.pushState({ sheet: "side" }, "");
      this.#paint();
      this.#parts.side.querySelector<HTMLElement>("button")?.focus();
    }
  }

  /** Closes what lies over the page, through the history where it was opened through it. */
  closeSheets(): void {
    if (this.sheet) history.back();
  }

  /** What Back did: nothing lies over the page any more. True where something did. */
  popped(): boolean {
    const sheet = this.sheet;
    if (!sheet) return false;
    this.#panelOpen = false;
    this.#sideOpen = this.#sideIsColumn.matches && this.#sideOpen;
    this.#paint();
    if (sheet === "panel") this.#closed();
    else this.#menuButton.focus();
    return true;
  }

  #closed(): void {
    this.giveBack();
    this.onPanelClosed();
  }

  #paint(): void {
    const { side, panel } = this.#parts;
    const panelShown = this.panelShown;
    this.element.classList.toggle("panel-shown", panelShown);
    this.element.classList.toggle("side-shown", this.#sideOpen);
    this.element.classList.toggle("has-turns", this.#hasTurns);
    side.inert = !this.#sideOpen || this.sheet === "panel";
    panel.inert = !panelShown;
    this.#main.inert = this.sheet !== undefined;
    if (this.sheet === "panel") {
      panel.setAttribute("role", "dialog");
      panel.setAttribute("aria-modal", "true");
    } else {
      panel.setAttribute("role", "complementary");
      panel.removeAttribute("aria-modal");
    }
    this.#menuButton.setAttribute("aria-expanded", String(this.#sideOpen));
    this.#sourcesButton.hidden = !this.#hasTurns;
    this.#sourcesButton.setAttribute("aria-expanded", String(panelShown));
  }
}
