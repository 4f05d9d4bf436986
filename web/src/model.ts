// What the page holds besides the log: how each turn is connected, what failed, what the reader did. Plain data.
import type { Thumb } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Link } from "./turn/follow.js";
import type { TurnState } from "./turn/fold.js";
import type { CallFailure } from "./wire/errors.js";

/** A turn as the page holds it. States are replaced, never changed; the rest belongs to the page. */
export interface Entry {
  /** Unique on the page, also before the turn has a name. */
  readonly id: string;
  /** What is known of the turn. */
  state: TurnState;
  /** What is painted of it: `state`, or one a few frames older. */
  shown: TurnState;
  link: Link;
  /** Why the turn could not be asked or followed. */
  failure: CallFailure | undefined;
  rating: Thumb;
  /** Whether it was asked on this page, as opposed to loaded from the log. */
  readonly fresh: boolean;
}

/** The turns of one conversation, oldest first. `conversation` is empty until the server has named it. */
export interface Thread {
  conversation: string;
  entries: Entry[];
}

/** Whether an entry still waits for the end of its turn. */
export function isRunning(entry: Entry): boolean {
  return !entry.state.finished && !entry.failure;
}

/** Whether an entry is painted as one that runs. */
export function looksRunning(entry: Entry): boolean {
  return !entry.shown.finished && !entry.failure;
}

/** What the parts of a turn ask the page to do. */
export interface TurnActions {
  /** Asks a question in this conversation, or in a new one. */
  ask(question: string, fresh?: boolean): void;
  /** Puts a question into the composer. */
  edit(question: string): void;
  /** Opens the passage behind a citation; `opener` gets the focus back. */
  cite(entry: Entry, citation: number, opener: HTMLElement): void;
  /** Opens a passage that may not be cited. */
  open(entry: Entry, evidence: string, opener: HTMLElement): void;
  /** Follows an entry again, after its failure. */
  follow(entry: Entry): void;
  /** Keeps an opinion. Rejects where it could not be kept. */
  rate(entry: Entry, thumb: Thumb, comment: string): Promise<void>;
  /** Says something to assistive technology. */
  say(text: string): void;
}
