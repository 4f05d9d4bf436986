// Builds elements without markup strings: nothing a server sends can become markup, and a strict CSP has nothing to refuse.

type Child = Node | string | undefined | null | false;
type Handler = (event: never) => void;

/** Properties of an element: `class`, `text`, `on` and `data` are special, every other entry is an attribute. */
export interface Props {
  class?: string | undefined;
  text?: string | undefined;
  on?: Partial<Record<keyof HTMLElementEventMap, Handler>>;
  data?: Record<string, string>;
  [attribute: string]: string | number | boolean | undefined | Partial<Record<string, Handler>> | Record<string, string>;
}

/** Makes an element. An attribute that is false or undefined is left out; one that is true is set empty. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name === "class") element.className = value as string;
    else if (name === "text") element.textContent = value as string;
    else if (name === "on") {
      for (const [type, handler] of Object.entries(value as Record<string, Handler>)) {
        element.addEventListener(type, handler as unknown as EventListener);
      }
    } else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

const PATHS = {
  send: "M12 19V5M5 12l7-7 7 7",
  stop: "M7 7h10v10H7z",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  partly: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16",
  question: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.7a2.5 2.5 0 1 1 3.6 2.3c-.7.4-1.1.9-1.1 1.8M12 16.8v.1",
  alert: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.5v5.2M12 16.3v.1",
  chevron: "M7 10l5 5 5-5",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  down: "M12 5v14M5 12l7 7 7-7",
  up: "M7 11l4-8c1.5 0 2.5 1 2.5 2.5V9H19a2 2 0 0 1 2 2.3l-1.2 7A2 2 0 0 1 17.8 20H7zM7 11H3.5v9H7",
  thumbdown: "M17 13l-4 8c-1.5 0-2.5-1-2.5-2.5V15H5a2 2 0 0 1-2-2.3l1.2-7A2 2 0 0 1 6.2 4H17zM17 13h3.5V4H17",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  search: "M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM15.5 15.5L20 20",
  shield: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6z",
  cloud: "M3 3l18 18M8 6.5A6 6 0 0 1 17.5 10 4 4 0 0 1 20 16.8M6 9.2A5 5 0 0 0 7 19h9",
  pause: "M9 6v12M15 6v12",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  retry: "M19 6v5h-5M18.5 11A7 7 0 1 0 19 14",
  external: "M10 5H5v14h14v-5M14 4h6v6M20 4l-9 9",
  keyboard: "M3 6h18v12H3zM7 10h.1M11 10h.1M15 10h.1M7 14h10",
} as const;

/** Name of an icon. */
export type Icon = keyof typeof PATHS;

/** An icon, 24 units square, drawn in the colour of the text. Hidden from assistive technology: words stand beside it. */
export function icon(name: Icon): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows only an icon; `label` is what it says. */
export function iconButton(name: Icon, label: string, props: Props = {}): HTMLButtonElement {
  return h("button", { type: "button", "aria-label": label, title: label, ...props, class: `quiet ${props.class ?? ""}`.trim() }, icon(name));
}

/** Puts `children` in place of what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

let lastId = 0;
/** An id that is unique on the page. */
export function uniqueId(prefix: string): string {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
