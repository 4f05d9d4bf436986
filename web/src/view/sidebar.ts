// The list of conversations and, below it, language, appearance and help.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Conversation } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import type { Language } from "../words.js";
import { language, LANGUAGES, momentWords, words } from "../words.js";
import { fill, h, icon, iconButton, uniqueId } from "./dom.js";
import type { Theme } from "../theme.js";
import { setTheme, THEMES, themeNow } from "../theme.js";

/** What the sidebar asks of the page. */
export interface SidebarHost {
  begin(): void;
  open(conversation: string): void;
  remove(conversation: Conversation, opener: HTMLElement): void;
  more(): void;
  hide(): void;
  help(opener: HTMLElement): void;
  language(language: Language): void;
}

/** The sidebar. */
export class Sidebar {
  readonly element: HTMLElement;
  readonly #host: SidebarHost;
  readonly #list = h("ul", { class: "conversations", role: "list" });
  readonly #more: HTMLButtonElement;

  constructor(host: SidebarHost) {
    this.#host = host;
    const help = h("button", { type: "button", class: "foot-button" }, icon("keyboard"), h("span", { text: words.help }));
    help.addEventListener("click", () => host.help(help));
    this.#more = h("button", { type: "button", class: "link", text: words.moreConversations, hidden: true, on: { click: () => host.more() } });
    this.element = h(
      "nav",
      { class: "side", id: "conversations", "aria-label": words.conversations },
      h(
        "div",
        { class: "side-head" },
        h("button", { type: "button", class: "new", on: { click: () => host.begin() } }, icon("plus"), h("span", { text: words.newConversation })),
        iconButton("close", words.closeConversations, { class: "side-close", on: { click: () => host.hide() } }),
      ),
      h("div", { class: "side-list" }, this.#list, this.#more),
      h("div", { class: "side-foot" }, this.#themes(), this.#languages(), help, h("p", { class: "privacy muted", text: words.privacy })),
    );
  }

  /** Shows the conversations; `current` is the open one, which `asked` began: a title is stored once the question is judged. */
  update(conversations: readonly Conversation[], current: string, more: boolean, asked = ""): void {
    this.#more.hidden = !more;
    const focused = this.#list.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["of"] : undefined;
    fill(
      this.#list,
      ...(conversations.length
        ? conversations.map((conversation) => this.#item(conversation, conversation.name === current, asked))
        : [h("li", { class: "muted no-conversations", text: words.noConversations })]),
    );
    if (focused) this.#list.querySelector<HTMLElement>(`[data-of="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(conversation: Conversation, current: boolean, asked: string): HTMLElement {
    const title = conversation.title || (current && asked) || words.untitled;
    const open = h(
      "button",
      { type: "button", class: "conversation", "aria-current": current ? "page" : undefined, title, data: { of: conversation.name } },
      h("span", { class: "conversation-title", text: title }),
      h("span", { class: "conversation-time muted", text: conversation.updateTime ? momentWords(timestampMs(conversation.updateTime)) : "" }),
    );
    open.addEventListener("click", () => this.#host.open(conversation.name));
    const remove = iconButton("trash", words.deleteConversation(title), { class: "remove" });
    remove.addEventListener("click", () => this.#host.remove(conversation, remove));
    return h("li", { class: current ? "current" : undefined }, open, remove);
  }

  #themes(): HTMLElement {
    const names: Record<Theme, string> = { system: words.themeSystem, light: words.themeLight, dark: words.themeDark };
    return choice(words.theme, THEMES.map((theme) => [theme, names[theme]] as const), themeNow(), (theme) => setTheme(theme));
  }

  #languages(): HTMLElement {
    const entries = Object.entries(LANGUAGES) as [Language, string][];
    return choice(words.language, entries, language, (next) => this.#host.language(next));
  }
}

function choice<T extends string>(legend: string, options: readonly (readonly [T, string])[], value: T, choose: (value: T) => void): HTMLElement {
  const name = uniqueId("choice");
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "sr", text: legend }),
    ...options.map(([option, text]) => {
      const input = h("input", { type: "radio", name, value: option, checked: option === value });
      input.addEventListener("change", () => choose(option));
      return h("label", {}, input, h("span", { text, lang: legend === words.language ? option : undefined }));
    }),
  );
}
