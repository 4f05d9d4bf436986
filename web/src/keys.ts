// The keys of the page. Those of one character can be turned off and never fire while something is being typed.
import { singleKeys } from "./view/dialogs.js";

/** What the keys do. */
export interface KeyHost {
  focusComposer(): void;
  escape(): void;
  cite(by: -1 | 1): void;
  begin(): void;
  step(by: -1 | 1): void;
  help(): void;
}

/** Listens on the document. Returns what ends it. */
export function listen(host: KeyHost): () => void {
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const act = action(event, host);
    if (!act) return;
    event.preventDefault();
    act();
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function action(event: KeyboardEvent, host: KeyHost): (() => void) | undefined {
  if (event.key === "Escape") return () => host.escape();
  if (event.altKey && !event.ctrlKey && !event.metaKey) {
    // With Alt some layouts put another character on the key: its place on the keyboard counts as well.
    if (event.key.toLowerCase() === "n" || event.code === "KeyN") return () => host.begin();
    if (event.key === "ArrowUp") return () => host.step(-1);
    if (event.key === "ArrowDown") return () => host.step(1);
  }
  const target = event.target as HTMLElement;
  const typing = target.matches("input, textarea, select, [contenteditable]");
  // AltGr, which many layouts need for the brackets, looks like Ctrl and Alt.
  const control = event.ctrlKey && !event.getModifierState("AltGraph");
  if (typing || control || event.metaKey || !singleKeys()) return undefined;
  switch (event.key) {
    case "/":
      return () => host.focusComposer();
    case "[":
      return () => host.cite(-1);
    case "]":
      return () => host.cite(1);
    case "?":
      return () => host.help();
    default:
      return undefined;
  }
}
