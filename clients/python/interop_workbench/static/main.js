// Puts the page together: views, keys, and who is in focus.

import { dateTime } from "./format.js";
import { listen } from "./live.js";
import { closeLast, logView } from "./logs.js";
import { faultsView, messengersView, now, timeView } from "./operate.js";
import { openPeer, peopleView, phoneView } from "./phone.js";
import { serverView } from "./server.js";
import { changed, isInControl, onChange, store } from "./store.js";

const VIEWS = ["phones", "journal", "wire", "time", "faults", "messengers"];
const LINKS = { connecting: "Connecting…", live: "Live", lost: "Connection lost. Trying again…" };
const at = (id) => document.getElementById(id);

let shownFocus = "";

function choose(view) {
  store.view = view;
  remember();
  render(); // at once: a key pressed meanwhile must find the view that was chosen
}

function focusOn(name) {
  if (name === store.focus) return;
  Object.assign(store, { focus: name, phone: null, account: null });
  openPeer("");
  remember();
}

function remember() {
  history.replaceState(null, "", `#${[store.view, store.focus].map(encodeURIComponent).join("/")}`);
}

function recall() {
  const [view, name] = location.hash.slice(1).split("/").map(decoded);
  if (VIEWS.includes(view)) store.view = view;
  if (name) store.focus = name;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Puts somebody in focus when nobody is, and opens their newest chat when their phone comes. */
function settle() {
  const { people, phone } = store;
  if (people.length > 0 && !people.some((person) => person.name === store.focus)) {
    const busy = people.find((person) => person.unread > 0) ?? people[0];
    focusOn(busy.name);
  }
  if (phone !== null && phone.name === store.focus && shownFocus !== phone.name) {
    shownFocus = phone.name;
    if (phone.chats.length > 0) openPeer(phone.chats[0].peer);
  }
}

function render() {
  settle();
  for (const view of VIEWS) {
    const isShown = view === store.view;
    at(view).hidden = !isShown;
    at(`tab-${view}`).setAttribute("aria-selected", String(isShown));
    at(`tab-${view}`).tabIndex = isShown ? 0 : -1;
  }
  at("phone-title").firstElementChild.textContent = store.focus === "" ? "What people see" : `What ${store.focus} sees`;
  if (store.view === "phones") {
    peopleView(at("people"), focusOn);
    phoneView(at("phone"));
    serverView(at("server"));
  } else if (store.view === "journal" || store.view === "wire") {
    logView(store.view, at(store.view));
  }
  if (store.state === null) return;
  tick();
  at("mode").textContent = isInControl() ? "In control" : "Looking on";
  at("mode").title = isInControl() ? "This page can change things." : "Start with --ui-control to change things from here.";
  if (store.view === "time") timeView(at("time"));
  if (store.view === "faults") faultsView(at("faults"));
  if (store.view === "messengers") messengersView(at("messengers"));
}

function tick() {
  if (store.state === null) return;
  const text = `${dateTime(now())} UTC${store.state.clock.is_frozen ? " · frozen" : ""}`;
  if (at("clock").textContent !== text) at("clock").textContent = text;
  if (store.view === "time") timeView(at("time"));
}

function moveFocus(event) {
  const list = event.target.closest("[data-arrows]");
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (list === null || (step === undefined && event.key !== "Home" && event.key !== "End")) return;
  const buttons = [...list.querySelectorAll("button")];
  const place = buttons.indexOf(event.target.closest("button"));
  if (place < 0) return;
  event.preventDefault();
  const next = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : (place + step + buttons.length) % buttons.length;
  buttons[next].focus();
  if (buttons[next].role === "tab") buttons[next].click();
}

/** Closes what was opened last: a menu, a message, an explanation, a chat. */
function escape(event) {
  const menu = document.querySelector("details.menu[open]");
  if (menu !== null) {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  } else if (store.view !== "phones") {
    if (store.view === "journal" || store.view === "wire") closeLast(store.view);
  } else if (store.selected !== "") {
    store.selected = "";
    changed();
  } else if (at("phone").contains(event.target) && store.peer !== "") {
    openPeer("");
  }
}

for (const view of VIEWS) at(`tab-${view}`).addEventListener("click", () => choose(view));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") escape(event);
  else moveFocus(event);
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("view").focus();
});
recall();
onChange(render);
render();
listen((link) => {
  at("link").textContent = LINKS[link];
  at("link").className = `fact is-${link}`;
});
setInterval(tick, 1000);
