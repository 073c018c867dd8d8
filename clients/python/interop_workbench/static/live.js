// Keeps what the page knows up to date: the stream of what happens, and what is read anew because of it.

import { get, path, seldom } from "./api.js";
import { addEntries, changed, forgetEntries, keepRead, store } from "./store.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const STATE_MS = 2000;

/** Reads what the server has of the person in focus. */
const readAccount = seldom(700, async () => {
  const jid = store.phone?.jid ?? "";
  if (jid === "") return;
  const account = await get(path("accounts", jid));
  if (store.phone?.jid === jid) store.account = account;
  changed();
});

/** Reads what went over the channels of the person in focus before this page watched, or while another was in focus. */
const readWire = seldom(700, async () => {
  const jid = store.phone?.jid ?? "";
  if (jid === "") return;
  const { wire } = await get(`${path("accounts", jid)}/wire`);
  if (store.phone?.jid === jid) keepRead(jid, wire);
  changed();
});

/** Reads the phone in focus, with the messages of the open chat. */
export const readPhone = seldom(300, async () => {
  const { focus, peer } = store;
  if (focus === "") return;
  const chat = store.phone === null ? "" : `?chat=${encodeURIComponent(peer)}`; // at first the newest, which is opened
  const phone = await get(path("phones", focus) + chat);
  if (store.focus !== focus) return;
  store.phone = phone;
  if (store.account?.jid !== phone.jid) readAccount();
  if (store.wireRead !== phone.jid) readWire();
  changed();
});

const readPeople = seldom(500, async () => {
  store.people = (await get("/api/people")).people;
  changed();
});

/** Reads everything that changes seldom. */
export const readState = seldom(400, async () => {
  const state = await get("/api/state");
  store.state = state;
  store.stateAt = performance.now();
  store.people = state.people;
  store.key = state.key;
  changed();
});

function take(batch) {
  addEntries("journal", batch.journal, batch.left_out.journal);
  addEntries("wire", batch.wire, batch.left_out.wire);
  if (batch.people.length > 0) readPeople();
  if (batch.people.includes(store.focus)) readPhone();
  const jid = store.phone?.jid;
  if (batch.wire.some((entry) => entry.jid === jid)) readAccount();
  if (batch.journal.some((entry) => entry.actor === "operator")) readState();
  changed();
}

/** Opens the stream, and opens it anew whenever it breaks. */
export function listen(onLink) {
  let pause = FIRST_PAUSE_MS;
  const open = () => {
    const source = new EventSource("/api/events");
    source.onopen = () => {
      pause = FIRST_PAUSE_MS;
      forgetEntries();
      readState();
      readPhone();
      onLink("live");
    };
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.onerror = () => {
      source.close();
      onLink("lost");
      setTimeout(open, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
  };
  open();
  setInterval(() => {
    if (!document.hidden) readState();
  }, STATE_MS);
}
