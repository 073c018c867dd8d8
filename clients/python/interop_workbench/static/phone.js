// The phone in focus: its list of chats, or its open chat.

import { act, path } from "./api.js";
import { composer, footerLooks } from "./composer.js";
import { button, foreign, h, patch, show } from "./dom.js";
import { shortTime } from "./format.js";
import { readPhone } from "./live.js";
import { keyOf, messageView } from "./message.js";
import { changed, isInControl, openChat, store } from "./store.js";

const HABITS = {
  none: "waits",
  echo: "echoes",
  script: "has a script",
  late: "reads late",
  block: "blocks",
  chatter: "talks on",
  rotate: "changes keys",
};

/** Opens a chat; an empty JID shows the list. */
export function openPeer(peer) {
  Object.assign(store, { peer, selected: "", replyTo: "" });
  readPhone();
  changed();
}

/** The strip of all people. */
export function peopleView(parent, onFocus) {
  const looks = (person) => JSON.stringify([person, person.name === store.focus]);
  patch(parent, store.people, (person) => person.name, looks, (person) => {
    const isOff = person.integrators.length === 0;
    const state = !person.is_online ? "offline" : isOff ? "not opted in" : (HABITS[person.habit] ?? person.habit);
    return h(
      "button",
      {
        type: "button",
        class: "person",
        "aria-pressed": String(person.name === store.focus),
        "data-focus": person.name,
        onclick: () => onFocus(person.name),
      },
      avatar(person.name, person.is_online),
      h("span", { class: "name" }, foreign(person.name)),
      h("span", { class: "small" }, state),
      person.unread > 0 && h("span", { class: "badge" }, String(person.unread), h("span", { class: "unseen" }, " unread")),
    );
  });
}

function avatar(name, isOnline = null) {
  const hue = [...name].reduce((sum, char) => (sum + char.codePointAt(0)) % 6, 0);
  const state = isOnline === null ? "" : isOnline ? "is-online" : "is-offline";
  return h("span", { class: `avatar hue-${hue} ${state}`, "aria-hidden": "true" }, ([...name][0] ?? "?").toUpperCase());
}

/** The phone. */
export function phoneView(parent) {
  const { phone } = store;
  if (phone === null) {
    const isEmpty = store.state !== null && store.people.length === 0;
    const words = isEmpty ? ["Nobody is here. Start with ", h("code", {}, "--people"), " to have phones to look at."] : ["Loading…"];
    show(parent, String(isEmpty), () => h("p", { class: "empty" }, words));
    return;
  }
  const chat = openChat();
  show(parent, `${phone.name} ${chat?.peer ?? ""} ${isInControl()}`, () =>
    chat === null ? listFrame() : chatFrame(),
  );
  const frame = parent.firstElementChild;
  if (chat === null) fillList(frame, phone);
  else fillChat(frame, phone, chat);
}

function listFrame() {
  return h(
    "div",
    { class: "screen" },
    h("div", { class: "bar" }),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Chats" },
      h("div", { class: "list", "data-arrows": true }),
      isInControl() && newChat(),
    ),
  );
}

/** Where the owner writes to somebody with whom they have no chat yet. */
function newChat() {
  const to = h("input", { type: "text", placeholder: "User name or JID", "aria-label": "Whom to write to", autocomplete: "off", spellcheck: "false" });
  const text = h("input", { type: "text", placeholder: "Message", "aria-label": "First message", autocomplete: "off" });
  const send = async (event) => {
    event.preventDefault();
    if (to.value.trim() === "" || text.value.trim() === "") return;
    const sent = await act(path("people", store.focus, "send"), { to: to.value.trim(), text: text.value });
    if (sent !== null) openPeer(sent.to);
  };
  return h(
    "section",
    { class: "section" },
    h("h3", {}, "New chat"),
    h("form", { class: "new-chat", onsubmit: send }, to, text, h("div", {}, h("button", { type: "submit" }, "Send"))),
  );
}

function fillList(frame, phone) {
  const [bar, scroll] = frame.children;
  const { chats, notices, ...owner } = phone;
  show(bar, JSON.stringify([owner, isInControl()]), () => ownerBar(phone));
  const sections = listSections(phone);
  patch(scroll.firstElementChild, sections, (each) => each.key, (each) => JSON.stringify(each), sectionView);
}

function listSections(phone) {
  const isOff = phone.integrators.length === 0;
  const requests = phone.chats.filter((chat) => chat.request_state === "requested");
  const others = phone.chats.filter((chat) => chat.request_state !== "requested");
  const isCombined = phone.inbox === "combined";
  return [
    isOff && { key: "off", note: `${phone.name} has not turned on third-party chats: nobody on another messenger reaches them.` },
    requests.length > 0 && { key: "requests", heading: "Message requests", chats: requests, isLabelled: true },
    {
      key: "chats",
      heading: isCombined ? "Chats" : "Third-party chats",
      chats: others,
      isLabelled: isCombined,
      note: others.length > 0 ? "" : "No chats yet.",
    },
    phone.notices.length > 0 && { key: "notices", heading: "Notices", notices: [...phone.notices].reverse() },
  ].filter(Boolean);
}

function sectionView(section) {
  return h(
    "section",
    { class: `section is-${section.key}` },
    section.heading && h("h3", {}, section.heading),
    section.note && h("p", { class: "note" }, foreign(section.note)),
    (section.chats ?? []).map((chat) => chatRow(chat, section.isLabelled)),
    (section.notices ?? []).map((notice) =>
      h("p", { class: `notice is-${notice.kind}` }, foreign(notice.text), " ", h("span", { class: "small" }, shortTime(notice.at_ms))),
    ),
  );
}

function chatRow(chat, isLabelled) {
  const last = chat.messages.at(-1);
  const marks = [
    isLabelled && chat.partner,
    chat.is_blocked && "blocked",
    chat.is_read_only && "read-only",
    chat.request_state === "declined" && "declined",
  ].filter(Boolean);
  return h(
    "button",
    { type: "button", class: "chat", "data-focus": chat.peer, onclick: () => openPeer(chat.peer) },
    avatar(chat.title),
    h("span", { class: "name" }, foreign(chat.title), marks.map((mark) => h("span", { class: "label" }, foreign(mark)))),
    h("span", { class: "small when" }, last ? shortTime(last.at_ms) : ""),
    h("span", { class: "cut small" }, previewOf(chat, last)),
    chat.unread > 0 && h("span", { class: "badge" }, String(chat.unread), h("span", { class: "unseen" }, " unread")),
  );
}

function previewOf(chat, last) {
  if (chat.typing !== "") return chat.typing === "recording" ? "recording…" : "typing…";
  if (last === undefined) return "No messages";
  if (last.is_deleted) return "Deleted message";
  return foreign(last.text || last.file?.name || "File");
}

function chatFrame() {
  const followEnd = ({ target }) => (target.isAtEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40);
  return h(
    "div",
    { class: "screen" },
    h("div", { class: "bar" }),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Messages", onscroll: followEnd },
      h("div", { class: "warning-place" }),
      h("ol", { class: "messages" }),
      h("div", { class: "typing-place" }),
    ),
    h("div", { class: "foot" }),
  );
}

function fillChat(frame, phone, chat) {
  const [bar, scroll, foot] = frame.children;
  const [warning, list, typing] = scroll.children;
  const wasSelected = list.querySelector(".is-selected");
  const control = isInControl();
  show(bar, JSON.stringify([chat.title, chat.partner, chat.is_blocked, chat.unread > 0, phone.is_online, control]), () => chatBar(phone, chat));
  show(warning, JSON.stringify([chat.warning, chat.is_forgotten, control]), () => warningView(chat));
  const byId = new Map(chat.messages.map((message) => [message.id, message]));
  const looks = (message) =>
    JSON.stringify([message, store.selected === message.id, byId.get(message.reply_to)?.text, chat.title, control]);
  patch(list, chat.messages, keyOf, looks, (message) => messageView(chat, message, byId.get(message.reply_to)));
  show(typing, chat.typing, () => typingView(chat));
  show(foot, footerLooks(phone, chat), () => composer(phone, chat));
  const selected = list.querySelector(".is-selected");
  if (selected !== null && selected !== wasSelected) selected.scrollIntoView({ block: "nearest" });
  else if (scroll.isAtEnd ?? true) scroll.scrollTop = scroll.scrollHeight;
}

function warningView(chat) {
  const accept = () => act(path("people", store.focus, "accept-identity"), { to: chat.peer });
  return h(
    "div",
    {},
    chat.is_forgotten && h("p", { class: "aside" }, "Older messages are no longer shown."),
    chat.warning !== "" &&
      h("div", { class: "warning", role: "note" }, h("p", {}, foreign(chat.warning)), isInControl() && button("Accept their new key", accept)),
  );
}

function typingView(chat) {
  if (chat.typing === "") return h("p", { class: "typing", hidden: true });
  const word = chat.typing === "recording" ? "is recording" : "is typing";
  return h("p", { class: "typing" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), foreign(chat.title), ` ${word}`);
}

function ownerBar(phone) {
  const state = phone.is_online ? "online" : "offline";
  return h(
    "div",
    { class: "bar-in" },
    avatar(phone.name, phone.is_online),
    h("p", { class: "name" }, foreign(phone.name)),
    h("p", { class: "small" }, `${phone.phone_number} · ${state}`),
    isInControl() && ownerMenu(phone),
  );
}

function ownerMenu(phone) {
  const tell = (action, body = {}) => () => act(path("people", phone.name, action), body);
  const isOff = phone.integrators.length === 0;
  const other = phone.inbox === "combined" ? "separate" : "combined";
  return menu(`What ${phone.name} does`, [
    phone.is_online ? button("Go offline", tell("offline")) : button("Go online", tell("online")),
    isOff ? button("Turn on third-party chats", tell("opt-in")) : button("Turn off third-party chats", tell("opt-out")),
    button(`Make the inbox ${other}`, tell("inbox", { inbox: other })),
    button("Get a new phone: new keys", tell("change-keys")),
  ]);
}

function chatBar(phone, chat) {
  const tell = (action, body) => () => act(path("people", phone.name, action), body);
  return h(
    "div",
    { class: "bar-in" },
    button("‹", () => openPeer(""), { class: "back", "aria-label": "Back to the chats", "data-focus": "back" }),
    avatar(chat.title),
    h("p", { class: "name" }, foreign(chat.title)),
    h("p", { class: "small" }, "on ", foreign(chat.partner || "another messenger"), chat.is_blocked && " · blocked"),
    isInControl() &&
      menu("What can be done with this chat", [
        chat.unread > 0 && button("Mark as read", tell("read", { from: chat.peer })),
        chat.is_blocked
          ? button("Unblock", tell("unblock", { to: chat.peer }))
          : button("Block", tell("block", { to: chat.peer })),
      ]),
  );
}

function menu(label, buttons) {
  const details = h(
    "details",
    { class: "menu" },
    h("summary", { "aria-label": label }, "⋯"),
    h("div", { class: "menu-in", "data-arrows": true, onclick: () => details.removeAttribute("open") }, buttons),
  );
  return details;
}
