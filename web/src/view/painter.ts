// Decides which state of a turn is painted in which frame. A mesh can answer in less time than six frames take; without this
// the reader would see a question and then everything at once. Each stage, the evidence and each sentence gets one frame, the
// smallest thing that a screen can show. No timer is involved, and paint is never more than a few frames behind the log.
import type { Entry } from "../model.js";
import type { TurnState } from "../turn/fold.js";

/** Most frames that paint may be behind: a log that comes in one piece, as after a reload, is shown at its end. */
const MOST_BEHIND = 5;

/** Frames and visibility as a browser has them; handed in, so that tests own them. */
export interface Screen {
  frame(act: () => void): void;
  hidden(): boolean;
}

export const browserScreen: Screen = {
  frame: (act) => void requestAnimationFrame(act),
  hidden: () => document.hidden,
};

/** Paints entries. */
export class Painter {
  readonly #screen: Screen;
  readonly #paint: (entry: Entry) => void;
  readonly #waiting = new Map<Entry, TurnState[]>();
  #asked = false;

  constructor(screen: Screen, paint: (entry: Entry) => void) {
    this.#screen = screen;
    this.#paint = paint;
  }

  /** Takes what an entry holds now. */
  push(entry: Entry): void {
    const steps = this.#waiting.get(entry) ?? [];
    const last = steps.at(-1);
    if (last && !isStep(last, entry.state)) steps[steps.length - 1] = entry.state;
    else steps.push(entry.state);
    steps.splice(0, steps.length - MOST_BEHIND);
    this.#waiting.set(entry, steps);
    // Nobody sees a hidden page, and it has no frames.
    if (this.#screen.hidden() || entry.failure) this.flush();
    else this.#ask();
  }

  /** Shows everything at once. */
  flush(): void {
    for (const [entry, steps] of this.#waiting) this.#show(entry, steps.at(-1));
    this.#waiting.clear();
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#screen.frame(() => {
      this.#asked = false;
      for (const [entry, steps] of this.#waiting) {
        this.#show(entry, steps.shift());
        if (!steps.length) this.#waiting.delete(entry);
      }
      if (this.#waiting.size) this.#ask();
    });
  }

  #show(entry: Entry, state: TurnState | undefined): void {
    if (state) entry.shown = state;
    this.#paint(entry);
  }
}

/** Whether a reader would miss `before` if only `after` were painted. A claim belongs to the sentence before it. */
function isStep(before: TurnState, after: TurnState): boolean {
  return before.stages !== after.stages || before.evidence !== after.evidence || before.deltas !== after.deltas || before.finished !== after.finished;
}
