// Asks the workbench, and tells it what to do; says so when it refuses.

import { button, h } from "./dom.js";
import { store } from "./store.js";

const MAX_TOASTS = 4;

/** A path of parts that may hold anything. */
export const path = (...parts) => `/api/${parts.map(encodeURIComponent).join("/")}`;

async function read(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The workbench answered ${response.status}.`);
  return answer;
}

/** Reads something; throws an error with a sentence. */
export const get = async (url) => read(await fetch(url));

/** Does something, and shows the sentence of a refusal. Returns the answer, or null. */
export async function act(url, body) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${store.key}` };
  try {
    return await read(await fetch(url, { method: "POST", headers, body: JSON.stringify(body) }));
  } catch (error) {
    tell(error.message);
    return null;
  }
}

/** Shows a sentence until it is put away. */
export function tell(sentence) {
  const toasts = document.getElementById("toasts");
  const toast = h("div", { class: "toast" }, h("p", { dir: "auto" }, sentence));
  toast.append(button("Dismiss", () => toast.remove()));
  toasts.append(toast);
  while (toasts.children.length > MAX_TOASTS) toasts.firstChild.remove();
}

/** Returns a function that runs another one now, but never twice within `ms` or at once; what comes meanwhile runs later. */
export function seldom(ms, run) {
  let isBusy = false;
  let isWanted = false;
  return async function ask() {
    if (isBusy) {
      isWanted = true;
      return;
    }
    isBusy = true;
    isWanted = false;
    try {
      await run();
    } catch {
      // The stream of events says that the workbench is gone; when it is back, everything is asked once more.
    }
    setTimeout(() => {
      isBusy = false;
      if (isWanted) ask();
    }, ms);
  };
}
