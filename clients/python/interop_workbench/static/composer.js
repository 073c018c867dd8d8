// The foot of an open chat: where its owner writes, or a sentence that says why they cannot.

import { act, path, tell } from "./api.js";
import { button, foreign, h } from "./dom.js";
import { changed, isInControl, store } from "./store.js";

const MAX_FILE_BYTES = 700_000; // as Base64 in JSON it must fit into a request of 1 MiB
const TYPING_MS = 3000;

let typedAt = -TYPING_MS;
const drafts = new Map(); // what is written and not sent, by person and peer: the foot of a chat can be made anew meanwhile

function stateOf(phone, chat) {
  if (chat.is_read_only) return "read-only";
  if (chat.is_blocked) return "blocked";
  if (!isInControl()) return "looking on";
  if (chat.request_state === "requested") return "requested";
  return phone.is_online ? "writing" : "offline";
}

/** Everything that the foot of a chat depends on. */
export const footerLooks = (phone, chat) =>
  JSON.stringify([stateOf(phone, chat), chat.peer, chat.title, chat.partner, store.replyTo ?? ""]);

/** The foot of a chat. */
export function composer(phone, chat) {
  const does = (action) => () => act(path("people", phone.name, action), { to: chat.peer });
  switch (stateOf(phone, chat)) {
    case "read-only":
      return sentence("Third-party chats with ", foreign(chat.partner || "this messenger"), " are turned off: this chat can only be read.");
    case "blocked":
      return sentence(foreign(chat.title), " is blocked: nothing goes either way.");
    case "offline":
      return sentence(foreign(phone.name), " is offline: nothing can be sent.");
    case "looking on":
      return h("div", { hidden: true });
    case "requested":
      return h(
        "div",
        { class: "request" },
        h("p", {}, foreign(chat.title), " would like to write to you."),
        h("div", { class: "row" }, button("Accept", does("accept"), { class: "primary" }), button("Decline", does("decline"))),
      );
    default:
      return form(phone, chat);
  }
}

function sentence(...children) {
  return h("p", { class: "sentence" }, children);
}

function form(phone, chat) {
  const field = h("textarea", { rows: "1", "aria-label": `Message to ${chat.title}`, placeholder: "Message", dir: "auto", autocomplete: "off", "data-focus": "composer" });
  const draft = `${phone.name} ${chat.peer}`;
  field.value = drafts.get(draft) ?? "";
  const send = async (event) => {
    event.preventDefault();
    const text = field.value;
    if (text.trim() === "") return;
    field.value = "";
    drafts.delete(draft);
    const reply_to = store.replyTo ?? "";
    const sent = await act(path("people", phone.name, "send"), { to: chat.peer, text, ...(reply_to && { reply_to }) });
    if (sent === null && field.value === "") {
      field.value = text;
      drafts.set(draft, text);
    }
    if (sent !== null && store.replyTo === reply_to) {
      store.replyTo = "";
      changed();
    }
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  });
  field.addEventListener("input", () => {
    drafts.set(draft, field.value);
    showTyping(phone, chat);
  });
  return h(
    "form",
    { class: "composer", onsubmit: send },
    store.replyTo ? quoted(chat) : null,
    attachment(phone, chat),
    field,
    h("button", { type: "submit", class: "primary", "aria-label": "Send" }, "➤"),
  );
}

function showTyping(phone, chat) {
  if (performance.now() - typedAt < TYPING_MS) return;
  typedAt = performance.now();
  act(path("people", phone.name, "type"), { to: chat.peer });
}

function quoted(chat) {
  const message = chat.messages.find((each) => each.id === store.replyTo && !each.is_own);
  const drop = () => {
    store.replyTo = "";
    changed();
  };
  return h(
    "div",
    { class: "answered" },
    h("p", { class: "cut" }, "In answer to: ", foreign(message?.text || message?.file?.name || "a message")),
    button("✕", drop, { "aria-label": "Do not answer a message" }),
  );
}

function attachment(phone, chat) {
  const input = h("input", { type: "file", class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    if (file.size > MAX_FILE_BYTES) {
      tell("From here a file can have 700 kB at most: `interopsim user` sends longer ones.");
      return;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const base64 = btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
    const mimetype = file.type || "application/octet-stream";
    await act(path("people", phone.name, "send-file"), { to: chat.peer, name: file.name, mimetype, base64 });
  });
  return [button("+", () => input.click(), { "aria-label": "Send a file", class: "attach" }), input];
}
