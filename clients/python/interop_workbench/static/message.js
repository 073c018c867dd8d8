// One message of a chat, as its owner sees it.

import { act, path } from "./api.js";
import { button, drawing, foreign, h } from "./dom.js";
import { shortTime, size, visible } from "./format.js";
import { changed, isInControl, store } from "./store.js";

const ONE = "M2 6.5 L5.5 10 L12 2.5";
const TWO = "M8.5 9 L9.5 10 L16 2.5";
const TICKS = {
  pending: ["Waiting", ["M9 1.5 a4.5 4.5 0 1 0 .01 0", "M9 3.5 V6 L10.8 7.2"], "tick"],
  sent: ["Sent", [ONE], "tick"],
  delivered: ["Delivered", [ONE, TWO], "tick"],
  read: ["Read", [ONE, TWO], "tick is-read"],
  failed: ["Failed", ["M9 1.5 a4.5 4.5 0 1 0 .01 0", "M9 3.3 V6.4", "M9 8.2 V8.6"], "tick is-failed"],
};
const FILE_STATES = {
  loading: "Loading…",
  "too long": "Too long to load",
  gone: "No longer there",
  broken: "Damaged: its bytes are not those that were sent",
};
const EMOJI = ["👍", "❤️", "😂", "😮"];

/** What names a message among those of its chat: two people may use the same id. */
export const keyOf = (message) => `${message.is_own ? "me" : "them"} ${message.id}`;

/** A message; `quoted` is the one that it answers, if that is known. */
export function messageView(chat, message, quoted) {
  const isSelected = store.selected === message.id;
  const author = message.is_own ? "You" : chat.title;
  const toggle = () => {
    store.selected = isSelected ? "" : message.id;
    changed();
  };
  const bubble = h(
    "div",
    { class: "bubble", onclick: (event) => event.target.closest("a, button") ?? toggle() },
    message.reply_to !== "" && quoteView(chat, quoted),
    bodyView(chat, message),
    h(
      "button",
      {
        type: "button",
        class: "meta",
        "aria-expanded": String(isSelected),
        "data-focus": keyOf(message),
        title: "Show its envelope, and what can be done",
        onclick: toggle,
      },
      h("span", { class: "unseen" }, `Message of ${author}`),
      message.is_edited && !message.is_deleted && h("span", {}, "edited"),
      h("span", {}, shortTime(message.at_ms)),
      message.tick in TICKS && drawing(...TICKS[message.tick]),
    ),
    reactionsView(message),
  );
  const side = message.is_own ? "is-own" : "is-theirs";
  return h(
    "li",
    { class: `message ${side} ${isSelected ? "is-selected" : ""}` },
    bubble,
    isSelected && isInControl() && !message.is_deleted && actionsView(chat, message),
  );
}

function bodyView(chat, message) {
  if (message.is_deleted) return h("p", { class: "body is-aside" }, "This message was deleted.");
  if (message.file !== null) return fileView(chat, message);
  const className = ["text", "edited"].includes(message.kind) ? "body" : "body is-aside";
  return h("p", { class: className }, foreign(message.text));
}

function fileView(chat, message) {
  const { file } = message;
  const source = path("people", store.focus, "files", chat.peer, message.id);
  const name = file.name || (file.is_picture ? "" : "File");
  if (file.state === "ready" && file.is_picture && !message.is_own) {
    return h(
      "div",
      { class: "body" },
      h("img", { class: "picture", src: source, alt: file.name || "Picture without a caption", onload: changed }),
      name !== "" && h("p", { class: "caption" }, foreign(name)),
    );
  }
  const state = file.state === "ready" ? size(file.length) : FILE_STATES[file.state];
  // What will be a file of the reader's own shows what its name really is: a turned "gnp.exe" reads "exe.png".
  const label = [h("span", { class: "name" }, foreign(visible(name))), h("span", { class: "small" }, `${state} · `, foreign(file.mimetype))];
  if (file.state !== "ready" || message.is_own) return h("div", { class: "body file" }, label);
  return h("a", { class: "body file", href: source, download: visible(name).replaceAll("\\", "_") }, label);
}

function quoteView(chat, quoted) {
  if (quoted === undefined) return h("blockquote", { class: "quote" }, h("p", {}, "A message that is not here"));
  const text = quoted.is_deleted ? "Deleted message" : quoted.text || quoted.file?.name || "File";
  return h(
    "blockquote",
    { class: "quote" },
    h("p", { class: "name" }, quoted.is_own ? "You" : foreign(chat.title)),
    h("p", { class: "cut" }, foreign(text)),
  );
}

function reactionsView(message) {
  const all = Object.entries(message.reactions).filter(([, emoji]) => emoji !== "");
  if (all.length === 0) return null;
  return h(
    "ul",
    { class: "reactions", "aria-label": "Reactions" },
    all.map(([who, emoji]) => h("li", {}, foreign(emoji), h("span", { class: "unseen" }, who === "me" ? " by you" : " by them"))),
  );
}

function actionsView(chat, message) {
  const react = (emoji) => act(path("people", store.focus, "react"), { to: chat.peer, message: message.id, emoji });
  const mine = message.reactions.me ?? "";
  return h(
    "div",
    { class: "actions", role: "group", "aria-label": "What can be done with this message" },
    !message.is_own &&
      button(
        "Reply",
        () => {
          store.replyTo = message.id;
          changed();
        },
        { class: "word" },
      ),
    EMOJI.map((emoji) =>
      button(emoji, () => react(emoji === mine ? "" : emoji), {
        "aria-label": `React ${emoji}`,
        "aria-pressed": String(emoji === mine),
      }),
    ),
  );
}
