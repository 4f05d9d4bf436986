// Where the client begins: the page of the assistant, or, under #states, the page that shows every state.
import { App } from "./app.js";
import { openGateway } from "./wire/api.js";
import { preferredLanguage, setLanguage } from "./words.js";

async function start(): Promise<void> {
  setLanguage(preferredLanguage(), false);
  const root = document.getElementById("app");
  if (!root) throw new Error("the page has no #app");
  if (location.hash.startsWith("#states")) {
    const path = "./states.js";
    await import(path);
    return;
  }
  await new App(openGateway(location.origin, localStorage), root).start();
}

void start();
