// Light, dark or as the system says. Loaded in the head before the stylesheet paints, so that no page flashes.

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "ragmesh.theme";

/** The theme that was chosen here. */
export function themeNow(): Theme {
  try {
    const kept = localStorage.getItem(KEY) as Theme | null;
    return kept && THEMES.includes(kept) ? kept : "system";
  } catch {
    // Storage is refused: the system decides.
    return "system";
  }
}

/** Chooses a theme and keeps the choice. */
export function setTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  applyTheme(theme);
}

/** Puts a theme on the page. */
export function applyTheme(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
}
