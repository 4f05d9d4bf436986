// Runs in the head, before anything is painted.
import { applyTheme, themeNow } from "./theme.js";

applyTheme(themeNow());
