// The page: joins the threads with the parts that show them, and the address bar with both.
import type { Assistant, Conversation } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { Outcome } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { browserWorld, ConnectionBanner, tryNow } from "./connection.js";
import { listen } from "./keys.js";
import type { Entry, Thread, TurnActions } from "./model.js";
import { Threads } from "./threads.js";
import type { TurnState } from "./turn/fold.js";
import { backoff } from "./turn/follow.js";
import { citations } from "./turn/runs.js";
import { Announcer } from "./view/announcer.js";
import { Composer } from "./view/composer.js";
import { confirmDelete, helpDialog } from "./view/dialogs.js";
import { Frame } from "./view/frame.js";
import { Hero } from "./view/hero.js";
import { browserScreen, Painter } from "./view/painter.js";
import { Panel } from "./view/panel.js";
import { hidePreview } from "./view/preview.js";
import { Sidebar } from "./view/sidebar.js";
import { Transcript } from "./view/transcript.js";
import type { Gateway } from "./wire/api.js";
import { callFailure } from "./wire/errors.js";
import type { Language } from "./words.js";
import { setLanguage, words } from "./words.js";

const SCROLL_KEY = "ragmesh.scroll.";
/** Attempts to learn who answers here before the page says that it cannot. */
const QUIET_ATTEMPTS = 2;
/** Answers after which a conversation is not asked for again. */
const GONE = ["CONVERSATION_NOT_FOUND", "INVALID_REQUEST", "PERMISSION_DENIED"];

/** The whole page. */
export class App {
  readonly #gateway: Gateway;
  readonly #root: HTMLElement;
  readonly #threads: Threads;
  #assistant: Assistant | undefined;
  /** What the first screen could not load, in words. */
  #failed = "";
  #frame!: Frame;
  #hero!: Hero;
  #transcript!: Transcript;
  #composer!: Composer;
  #sidebar!: Sidebar;
  #panel!: Panel;
  #banner!: ConnectionBanner;
  #announcer!: Announcer;
  #active: Entry | undefined;
  readonly #painter = new Painter(browserScreen, (entry) => {
    if (!this.#threads.current.entries.includes(entry)) return;
    this.#transcript.update(entry);
    if (entry === this.#active) this.#panel.list(entry);
  });

  constructor(gateway: Gateway, root: HTMLElement) {
    this.#gateway = gateway;
    this.#root = root;
    this.#threads = new Threads(gateway, browserWorld, {
      moved: (thread, entry, before) => this.#moved(thread, entry, before),
      named: (thread) => this.#named(thread),
      dropped: (thread) => thread === this.#threads.current && this.#showThread(),
      listed: () => this.#showList(),
    });
    this.#build();
    listen({
      focusComposer: () => this.#composer.focus(),
      escape: () => this.#escape(),
      cite: (by) => this.#step(by),
      begin: () => this.#begin(),
      step: (by) => this.#transcript.step(by),
      help: () => helpDialog(document.activeElement as HTMLElement),
    });
    addEventListener("popstate", () => this.#popped());
    addEventListener("online", () => this.#showConnection());
    addEventListener("offline", () => this.#showConnection());
    addEventListener("pagehide", () => this.#keepScroll());
    document.addEventListener("visibilitychange", () => this.#painter.flush());
  }

  /** Loads what the first screen needs and the conversation of the address. */
  async start(): Promise<void> {
    this.#composer.open(conversationOf(location.hash));
    this.#composer.invite();
    void this.#introduce();
    this.#threads.list().catch(() => undefined);
    const [how] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    const { lastNamed } = this.#threads;
    if (how?.type === "reload" && lastNamed && !conversationOf(location.hash)) history.replaceState(null, "", hashOf(lastNamed));
    await this.#route(true);
    if (this.#threads.resumeLast()) this.#showThread();
  }

  #build(): void {
    const actions: TurnActions = {
      ask: (question, fresh) => {
        if (fresh) this.#begin();
        this.#ask(question);
      },
      edit: (question) => this.#composer.edit(question),
      cite: (entry, index, opener) => this.#cite(entry, index, opener),
      open: (entry, evidence, opener) => this.#open(entry, evidence, undefined, opener),
      follow: (entry) => this.#followAgain(entry),
      rate: (entry, thumb, comment) => this.#threads.rate(entry, thumb, comment),
      say: (text) => this.#announcer.say(text),
    };
    this.#announcer = new Announcer();
    this.#hero = new Hero();
    this.#transcript = new Transcript(actions, this.#hero.element);
    this.#composer = new Composer({ ask: (question) => this.#ask(question), stop: () => void this.#stop() });
    this.#sidebar = new Sidebar({
      begin: () => this.#begin(),
      open: (conversation) => this.#navigate(conversation),
      remove: (conversation, opener) => void this.#remove(conversation, opener),
      more: () => void this.#threads.list(true).catch(() => undefined),
      hide: () => this.#frame.toggleSide(),
      help: (opener) => helpDialog(opener),
      language: (language) => this.#switch(language),
    });
    this.#panel = new Panel({
      passage: async (turn, evidence, neighbours) => {
        const { passage } = await this.#gateway.getPassage({ turn, evidence, neighbours }, { timeoutMs: 10_000 });
        if (!passage) throw new Error("an answer without a passage");
        return passage;
      },
      lit: (entry, evidence, claim) => this.#transcript.view(entry)?.answer.light(evidence, claim),
      close: () => this.#frame.closePanel(),
      say: (text) => this.#announcer.say(text),
    });
    this.#frame = new Frame(
      {
        side: this.#sidebar.element,
        scroll: this.#transcript.element,
        jump: this.#transcript.jump,
        composer: this.#composer.element,
        panel: this.#panel.element,
        announcer: this.#announcer.element,
      },
      () => this.#begin(),
    );
    this.#frame.onPanelClosed = () => {
      this.#panel.reset();
      this.#panel.list(this.#active);
    };
    this.#banner = new ConnectionBanner(this.#frame.banner, (text) => this.#announcer.say(text));
    this.#root.replaceChildren(this.#frame.element);
    this.#showAssistant();
    this.#showThread();
    this.#showList();
  }

  async #introduce(): Promise<void> {
    for (let attempt = 1; !this.#assistant; attempt++) {
      try {
        this.#assistant = (await this.#gateway.getAssistant({}, { timeoutMs: 10_000 })).assistant;
      } catch {
        if (attempt >= QUIET_ATTEMPTS) this.#failed ||= words.unreachable;
        this.#showAssistant();
        await browserWorld.pause(backoff(attempt + 1), new AbortController().signal);
      }
    }
    this.#failed = "";
    this.#showAssistant();
  }

  #showAssistant(): void {
    const name = this.#assistant?.displayName ?? "";
    this.#frame.introduce(name, this.#assistant?.disclaimer ?? "");
    this.#composer.placeholder = name ? words.ask(name) : words.askPlain;
    if (this.#failed) this.#hero.fail(this.#failed, tryNow);
    else this.#hero.update(this.#assistant, (question) => this.#ask(question));
    this.#showTitle();
  }

  #showTitle(): void {
    const first = this.#threads.current.entries[0]?.state.question;
    document.title = [first?.slice(0, 60), this.#assistant?.displayName ?? "ragmesh"].filter(Boolean).join(" · ");
  }

  #showList(): void {
    this.#sidebar.update(this.#threads.conversations, this.#threads.current.conversation, this.#threads.nextPage !== "", this.#threads.current.entries[0]?.state.question);
  }

  /** Shows the open conversation from its beginning. */
  #showThread(): void {
    const { entries } = this.#threads.current;
    this.#painter.flush();
    this.#transcript.show(entries);
    this.#hero.element.hidden = entries.length > 0;
    this.#frame.hasTurns = entries.length > 0;
    this.#active = this.#threads.running ?? entries.at(-1);
    this.#panel.reset();
    this.#panel.list(this.#active);
    this.#composer.running = this.#threads.running !== undefined;
    this.#showConnection();
    this.#showTitle();
  }

  #showConnection(): void {
    const { running } = this.#threads;
    this.#banner.update(running?.link === "lost", Boolean(running?.state.text));
  }

  #moved(thread: Thread, entry: Entry, before: TurnState): void {
    if (thread !== this.#threads.current) {
      entry.shown = entry.state;
      return;
    }
    this.#painter.push(entry);
    this.#composer.running = this.#threads.running !== undefined;
    this.#showConnection();
    this.#speak(entry, before);
    const finished = entry.state.finished;
    // A refused question stays editable: it goes back into an empty box.
    if (finished?.outcome === Outcome.BLOCKED && !before.finished && entry.fresh && !this.#composer.text) this.#composer.edit(entry.state.question);
  }

  #speak(entry: Entry, before: TurnState): void {
    const { state } = entry;
    const stage = state.stages.at(-1);
    if (stage && state.stages !== before.stages) this.#announcer.say(words.stage(stage.stage, stage.count, false));
    for (const delta of state.deltas.slice(before.deltas.length)) this.#announcer.say(delta.text);
    if (!state.finished || before.finished) return;
    const said: Partial<Record<Outcome, string>> = {
      [Outcome.ABSTAINED]: words.abstained,
      [Outcome.BLOCKED]: `${words.blocked} ${words.blockReason(state.finished.blockReason)}`,
      [Outcome.STOPPED]: state.text ? words.stopped : words.stoppedEmpty,
      [Outcome.FAILED]: words.failed,
      [Outcome.PARTIAL]: words.partial,
    };
    this.#announcer.say(said[state.finished.outcome] ?? "");
  }

  #named(thread: Thread): void {
    if (thread !== this.#threads.current) return;
    this.#composer.open(thread.conversation);
    history.replaceState(history.state, "", hashOf(thread.conversation));
  }

  #ask(question: string): void {
    if (this.#threads.running) return;
    const entry = this.#threads.ask(question);
    this.#hero.element.hidden = true;
    this.#frame.hasTurns = true;
    this.#active = entry;
    this.#panel.reset();
    this.#panel.list(entry);
    this.#transcript.update(entry);
    this.#transcript.toEnd(true);
    this.#composer.running = true;
    this.#composer.invite();
    this.#showTitle();
  }

  async #stop(): Promise<void> {
    try {
      await this.#threads.stop();
    } catch {
      this.#announcer.say(words.stopFailed);
    }
  }

  #followAgain(entry: Entry): void {
    if (entry.state.name) {
      this.#threads.retry(entry);
      return;
    }
    // Another answer runs in this conversation: show that one, and keep the question in the box.
    this.#threads.drop(entry);
    this.#composer.edit(entry.state.question);
    void this.#load(this.#threads.current.conversation, true);
  }

  #begin(): void {
    this.#navigate("");
    this.#composer.invite();
  }

  /** Opens a conversation ("" is a new one) and puts it into the address. */
  #navigate(conversation: string): void {
    hidePreview();
    this.#keepScroll();
    const address = hashOf(conversation);
    if (this.#frame.sheet) {
      history.replaceState(null, "", address);
      this.#frame.popped();
    } else if (address !== hashOf(this.#threads.current.conversation)) {
      history.pushState(null, "", address);
    }
    void this.#route();
  }

  async #route(first = false): Promise<void> {
    const conversation = conversationOf(location.hash);
    if (conversation) await this.#load(conversation, false);
    else if (!first) this.#threads.begin();
    this.#composer.open(this.#threads.current.conversation);
    this.#showThread();
    this.#showList();
    const kept = sessionStorage.getItem(SCROLL_KEY + conversation);
    if (kept !== null && !this.#threads.running) this.#transcript.element.scrollTop = Number(kept);
    else if (conversation) this.#transcript.toEnd(false);
  }

  async #load(conversation: string, again: boolean): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const thread = await this.#threads.load(conversation, again);
        if (conversationOf(location.hash) !== conversation) return;
        this.#threads.current = thread;
        break;
      } catch (error) {
        if (conversationOf(location.hash) !== conversation) return;
        const failure = callFailure(error);
        if (GONE.includes(failure.reason)) {
          this.#announcer.say(words.loadFailed);
          this.#threads.begin();
          history.replaceState(null, "", hashOf(""));
          break;
        }
        // The address stays, and with it the conversation: it is only not to be had right now.
        if (attempt === QUIET_ATTEMPTS) {
          this.#failed = words.loadFailed;
          this.#threads.begin();
          this.#showThread();
          this.#showAssistant();
        }
        await browserWorld.pause(failure.retryAfterMs ?? backoff(attempt), new AbortController().signal);
      }
    }
    this.#failed = "";
    this.#showAssistant();
    this.#showThread();
  }

  #popped(): void {
    if (this.#frame.popped()) return;
    if (conversationOf(location.hash) !== this.#threads.current.conversation) void this.#route();
  }

  #keepScroll(): void {
    const { conversation } = this.#threads.current;
    if (conversation) sessionStorage.setItem(SCROLL_KEY + conversation, String(Math.round(this.#transcript.element.scrollTop)));
  }

  async #remove(conversation: Conversation, opener: HTMLElement): Promise<void> {
    if (!(await confirmDelete(opener))) return;
    try {
      await this.#threads.remove(conversation.name);
      if (this.#threads.current.conversation === conversation.name) this.#begin();
    } catch {
      this.#announcer.say(words.deleteFailed);
    }
  }

  #switch(language: Language): void {
    const draft = this.#composer.text;
    setLanguage(language, true);
    this.#build();
    this.#composer.open(this.#threads.current.conversation);
    if (draft) this.#composer.edit(draft);
    if (!this.#frame.sheet) this.#frame.element.querySelector<HTMLElement>(`.side input[value="${language}"]`)?.focus();
  }

  #cite(entry: Entry, index: number, opener: HTMLElement): void {
    const citation = citations(entry.state)[index];
    if (citation) this.#open(entry, citation.evidence, index, opener);
  }

  #open(entry: Entry, evidence: string, index: number | undefined, opener: HTMLElement): void {
    this.#active = entry;
    this.#frame.openPanel(opener);
    this.#panel.show(entry, evidence, index);
  }

  /** To the next or previous citation of the answer that is being read. */
  #step(by: -1 | 1): void {
    const within = (document.activeElement as HTMLElement | null)?.closest(".turn");
    const entries = this.#threads.current.entries;
    const entry =
      entries.find((one) => within && this.#transcript.view(one)?.element === within) ?? this.#panel.entry ?? this.#active ?? entries.at(-1);
    if (!entry) return;
    const all = citations(entry.state);
    const shown = this.#panel.entry === entry ? this.#panel.citation : undefined;
    const focused = (document.activeElement as HTMLElement | null)?.dataset["cite"];
    const from = shown ?? (focused === undefined ? (by > 0 ? -1 : all.length) : Number(focused));
    const next = all[Math.max(0, Math.min(all.length - 1, from + by))];
    const opener = next && this.#transcript.view(entry)?.element.querySelector<HTMLElement>(`[data-cite="${next.index}"]`);
    if (next && opener) this.#open(entry, next.evidence, next.index, opener);
  }

  /** Esc: first what hides something, then the running answer, then what is open. */
  #escape(): void {
    if (hidePreview()) return;
    if (this.#frame.sheet) this.#frame.closeSheets();
    else if (this.#threads.running) void this.#stop();
    else if (this.#panel.citation !== undefined || this.#panel.element.contains(document.activeElement)) {
      if (this.#panel.back()) this.#frame.giveBack();
      else this.#frame.closePanel();
    }
  }
}

function conversationOf(hash: string): string {
  const id = /^#c\/([^/]{1,128})$/.exec(hash)?.[1];
  return id ? `conversations/${decodeURIComponent(id)}` : "";
}

function hashOf(conversation: string): string {
  return conversation ? `#c/${encodeURIComponent(conversation.slice("conversations/".length))}` : location.pathname + location.search;
}
