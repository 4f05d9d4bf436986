// The conversations of the page: asks, follows, loads, stops, rates. Holds no element; tells a listener what has moved.
import { create } from "@bufbuild/protobuf";
import type { Conversation } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import type { Thumb } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { Outcome, Thumb as Thumbs, TurnFinishedSchema } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Entry, Thread } from "./model.js";
import { isRunning } from "./model.js";
import type { Ask, Source, World } from "./turn/follow.js";
import { follow, FollowFailure } from "./turn/follow.js";
import { asked, fromTurn } from "./turn/fold.js";
import type { TurnState } from "./turn/fold.js";
import type { Gateway } from "./wire/api.js";
import { callFailure } from "./wire/errors.js";

/** The last question of this tab, and the conversation that it got: what a reload goes on with. */
const LAST_KEY = "ragmesh.last";
/** Pages of turns that are loaded for one conversation. */
const MOST_PAGES = 10;
const PAGE_SIZE = 50;

/** Whom the threads tell. */
export interface ThreadListener {
  /** An entry of a thread has moved; `before` is its state before. */
  moved(thread: Thread, entry: Entry, before: TurnState): void;
  /** A thread has got its name. */
  named(thread: Thread): void;
  /** A thread has one entry less. */
  dropped(thread: Thread): void;
  /** The list of conversations has changed. */
  listed(): void;
}

/** The threads of the page. */
export class Threads {
  conversations: Conversation[] = [];
  nextPage = "";
  current: Thread = { conversation: "", entries: [] };
  readonly #gateway: Gateway;
  readonly #source: Source;
  readonly #world: World;
  readonly #listener: ThreadListener;
  readonly #kept = new Map<string, Thread>();
  readonly #following = new Map<string, AbortController>();
  #lastId = 0;

  constructor(gateway: Gateway, world: World, listener: ThreadListener) {
    this.#gateway = gateway;
    this.#source = sourceOf(gateway);
    this.#world = world;
    this.#listener = listener;
  }

  /** The entry that runs in the open conversation. */
  get running(): Entry | undefined {
    return this.current.entries.find(isRunning);
  }

  /** Opens an empty conversation. */
  begin(): Thread {
    keepLast(undefined);
    this.current = { conversation: "", entries: [] };
    return this.current;
  }

  /** Asks in the open conversation. Reaches the end of the turn by telling the listener. */
  ask(question: string, ask: Ask = { question, conversation: this.current.conversation, requestId: requestId() }): Entry {
    const entry = this.#entry(asked(question), true);
    const thread = this.current;
    thread.entries.push(entry);
    keepLast({ ask, named: ask.conversation });
    void this.#follow(thread, entry, ask);
    return entry;
  }

  /**
   * The conversation of the last question. A page that is left goes on reading for a moment, so that a reload may miss what
   * the address became meanwhile; this store it does not miss.
   */
  get lastNamed(): string {
    return last()?.named ?? "";
  }

  /** Sends the last question again if the server had not answered it when the page was left: the same request, the same turn. */
  resumeLast(): Entry | undefined {
    const kept = last();
    if (!kept || kept.started || kept.ask.conversation !== this.current.conversation) return undefined;
    return this.ask(kept.ask.question, kept.ask);
  }

  /** Follows an entry again. */
  retry(entry: Entry): void {
    const thread = this.current;
    entry.failure = undefined;
    entry.link = "lost";
    this.#listener.moved(thread, entry, entry.state);
    void this.#follow(thread, entry, entry.state);
  }

  /** Takes an entry that never became a turn out of the open conversation. */
  drop(entry: Entry): void {
    this.current.entries = this.current.entries.filter((one) => one !== entry);
  }

  /** Reads a conversation with all its turns; a running one is followed. Rejects where it cannot be read. */
  async load(conversation: string, again = false): Promise<Thread> {
    const kept = this.#kept.get(conversation);
    if (kept && !again) return kept;
    const thread: Thread = { conversation, entries: [] };
    let pageToken = "";
    for (let page = 0; page < MOST_PAGES; page++) {
      const answer = await this.#gateway.listTurns({ parent: conversation, pageSize: PAGE_SIZE, pageToken }, { timeoutMs: 15_000 });
      for (const turn of answer.turns) {
        const entry = this.#entry(fromTurn(turn), false);
        entry.rating = turn.rating?.thumb ?? Thumbs.UNSPECIFIED;
        thread.entries.push(entry);
      }
      pageToken = answer.nextPageToken;
      if (!pageToken) break;
    }
    this.#kept.set(conversation, thread);
    for (const entry of thread.entries) if (isRunning(entry)) void this.#follow(thread, entry, entry.state);
    return thread;
  }

  /** Ends the running turn of the open conversation. */
  async stop(): Promise<void> {
    const entry = this.running;
    if (!entry) return;
    if (entry.state.name) {
      await this.#gateway.stopAnswer({ turn: entry.state.name }, { timeoutMs: 10_000 });
      return;
    }
    // The server has not answered yet: the turn, if it was made, stops by itself when nobody reads it.
    this.#following.get(entry.id)?.abort();
    const before = entry.state;
    entry.state = { ...before, finished: create(TurnFinishedSchema, { outcome: Outcome.STOPPED }) };
    entry.link = "over";
    keepLast(undefined);
    this.#listener.moved(this.current, entry, before);
  }

  /** Keeps an opinion. */
  async rate(entry: Entry, thumb: Thumb, comment: string): Promise<void> {
    await this.#gateway.rateAnswer({ turn: entry.state.name, rating: { thumb, comment } }, { timeoutMs: 10_000 });
    const thread = this.current;
    entry.rating = thumb;
    this.#listener.moved(thread, entry, entry.state);
  }

  /** Reads the list of conversations from its beginning, or its next page. */
  async list(more = false): Promise<void> {
    const answer = await this.#gateway.listConversations({ pageSize: PAGE_SIZE, pageToken: more ? this.nextPage : "" }, { timeoutMs: 10_000 });
    this.conversations = more ? [...this.conversations, ...answer.conversations] : answer.conversations;
    this.nextPage = answer.nextPageToken;
    this.#listener.listed();
  }

  /** Deletes a conversation for good. */
  async remove(conversation: string): Promise<void> {
    await this.#gateway.deleteConversation({ name: conversation }, { timeoutMs: 15_000 });
    for (const entry of this.#kept.get(conversation)?.entries ?? []) this.#following.get(entry.id)?.abort();
    this.#kept.delete(conversation);
    this.conversations = this.conversations.filter((one) => one.name !== conversation);
    this.#listener.listed();
  }

  #entry(state: TurnState, fresh: boolean): Entry {
    this.#lastId += 1;
    return { id: `entry-${this.#lastId}`, state, shown: state, link: state.finished ? "over" : "live", failure: undefined, rating: Thumbs.UNSPECIFIED, fresh };
  }

  async #follow(thread: Thread, entry: Entry, start: Ask | TurnState): Promise<void> {
    const abort = new AbortController();
    this.#following.set(entry.id, abort);
    try {
      const listener = {
        state: (state: TurnState) => this.#moved(thread, entry, state),
        link: (link: Entry["link"]) => {
          if (link === entry.link) return;
          entry.link = link;
          this.#listener.moved(thread, entry, entry.state);
        },
      };
      await follow(start, this.#source, listener, this.#world, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return;
      const failure = error instanceof FollowFailure ? error.failure : callFailure(error);
      if (!entry.state.name) keepLast(undefined);
      // A session that was renewed has other conversations. The reader has asked a question, not a conversation: ask it there.
      if (failure.reason === "CONVERSATION_NOT_FOUND" && "requestId" in start && start.conversation && !entry.state.name) {
        thread.conversation = "";
        await this.#follow(thread, entry, { ...start, conversation: "", requestId: requestId() });
        return;
      }
      entry.link = "over";
      entry.failure = failure;
      this.#listener.moved(thread, entry, entry.state);
    } finally {
      if (this.#following.get(entry.id) === abort) this.#following.delete(entry.id);
    }
  }

  #moved(thread: Thread, entry: Entry, state: TurnState): void {
    const before = entry.state;
    entry.state = state;
    if (!before.name && thread.entries.some((other) => other !== entry && other.state.name === state.name)) {
      // Asked again after a reload, and loaded with the conversation as well: the same turn.
      this.#following.get(entry.id)?.abort();
      thread.entries = thread.entries.filter((other) => other !== entry);
      this.#listener.dropped(thread);
      return;
    }
    const kept = last();
    if (kept && !before.name && state.name && entry.fresh) keepLast({ ...kept, named: state.conversation, started: true });
    if (state.conversation && thread.conversation !== state.conversation) {
      thread.conversation = state.conversation;
      this.#kept.set(state.conversation, thread);
      this.#listener.named(thread);
      this.#refresh();
    }
    this.#listener.moved(thread, entry, before);
    if (state.finished && !before.finished) this.#refresh();
  }

  #refresh(): void {
    // The list is beside the point of a turn: where it cannot be read, it stays as it was.
    this.list().catch(() => undefined);
  }
}

interface Last {
  ask: Ask;
  named: string;
  started?: boolean;
}

function last(): Last | undefined {
  const kept = sessionStorage.getItem(LAST_KEY);
  return kept ? (JSON.parse(kept) as Last) : undefined;
}

function keepLast(kept: Last | undefined): void {
  if (kept) sessionStorage.setItem(LAST_KEY, JSON.stringify(kept));
  else sessionStorage.removeItem(LAST_KEY);
}

function sourceOf(gateway: Gateway): Source {
  return {
    async *ask(ask, signal) {
      const { question, conversation, requestId } = ask;
      for await (const { event } of gateway.streamAnswer({ question, conversation, requestId }, { signal })) if (event) yield event;
    },
    async *resume(turn, afterSeq, signal) {
      for await (const { event } of gateway.resumeAnswer({ turn, afterSeq }, { signal })) if (event) yield event;
    },
    async get(turn, signal) {
      const answer = await gateway.getTurn({ name: turn }, { signal, timeoutMs: 10_000 });
      if (!answer.turn) throw new Error("an answer without a turn");
      return answer.turn;
    },
  };
}

/** A random UUID, also on a page without a secure context. */
function requestId(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
