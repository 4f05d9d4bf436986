// The two dialogs: the list of keys, and the question before a conversation is deleted.
import { words } from "../words.js";
import { h, uniqueId } from "./dom.js";

const SINGLE_KEYS = "ragmesh.singleKeys";

/** Whether shortcuts of one character are on (WCAG 2.1.4: a reader can turn them off). */
export function singleKeys(): boolean {
  return localStorage.getItem(SINGLE_KEYS) !== "off";
}

function open(title: string, opener: HTMLElement | undefined, ...content: HTMLElement[]): HTMLDialogElement {
  const id = uniqueId("dialog");
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": id }, h("h2", { id, text: title }), ...content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.isConnected) opener.focus();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Shows the keys. */
export function helpDialog(opener: HTMLElement | undefined): void {
  const toggle = h("input", { type: "checkbox", checked: singleKeys() });
  toggle.addEventListener("change", () => localStorage.setItem(SINGLE_KEYS, toggle.checked ? "on" : "off"));
  const close = h("button", { type: "button", class: "pill primary", text: words.close });
  const dialog = open(
    words.help,
    opener,
    h("dl", { class: "keys" }, ...words.shortcuts.map(([keys, what]) => h("div", {}, h("dt", {}, h("kbd", { text: keys })), h("dd", { text: what })))),
    h("label", { class: "check" }, toggle, h("span", { text: words.singleKeys })),
    h("div", { class: "dialog-actions" }, close),
  );
  close.addEventListener("click", () => dialog.close());
  close.focus();
}

/** Asks before a conversation is deleted. Resolves with the answer. */
export function confirmDelete(opener: HTMLElement): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = h("button", { type: "button", class: "pill", text: words.cancel });
    const confirm = h("button", { type: "button", class: "pill danger", text: words.deleteConfirm });
    const dialog = open(words.deleteTitle, opener, h("p", { text: words.deleteText }), h("div", { class: "dialog-actions" }, cancel, confirm));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"));
    cancel.addEventListener("click", () => dialog.close());
    confirm.addEventListener("click", () => dialog.close("delete"));
    cancel.focus();
  });
}
