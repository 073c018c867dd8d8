// What the page knows. Whoever changes it calls `changed`; whoever shows it is called once before the next frame.

export const KEPT = 2000;
const KEPT_OF_ACCOUNT = 300;

export const store = {
  key: "", // what an action needs; empty on a page that only looks on
  state: null, // what /api/state answered
  stateAt: 0, // when, by performance.now()
  people: [],
  focus: "", // name of the person whose phone is in focus
  phone: null,
  peer: "", // JID whose chat is open; empty shows the list
  selected: "", // id of the message that both sides point at
  account: null, // what the server has of the person in focus
  journal: [], // oldest first; { gap } stands for entries that were left out
  wire: [],
  wireOf: new Map(), // JID → entries
  wireRead: "", // JID of whom those were read that came before this page
  view: "phones",
};

const listeners = [];
let isPending = false;

/** Calls a function before the frame after each change. */
export const onChange = (listener) => listeners.push(listener);

/** Notes that something has changed. */
export function changed() {
  if (isPending) return;
  isPending = true;
  requestAnimationFrame(() => {
    isPending = false;
    for (const listener of listeners) listener();
  });
}

/** Forgets what has come, before it comes once more. */
export function forgetEntries() {
  store.journal = [];
  store.wire = [];
  store.wireOf.clear();
  store.wireRead = "";
  lastOfWire = 0;
}

let serial = 0;
let lastOfWire = 0; // number of the last entry that came

/** Adds what came, and a gap before it for what was left out. Bounded: the oldest goes. */
export function addEntries(kind, entries, leftOut) {
  const log = store[kind];
  if (leftOut > 0) log.push({ gap: leftOut, serial: serial++ });
  for (const entry of entries) {
    entry.serial = serial++;
    log.push(entry);
    if (kind === "wire") keepForAccount(entry);
  }
  if (log.length > KEPT) log.splice(0, log.length - KEPT);
}

function keepForAccount(entry) {
  if (entry.number <= lastOfWire) store.wireOf.clear(); // a clean world has begun
  lastOfWire = entry.number;
  const entries = store.wireOf.get(entry.jid) ?? [];
  if (entry.number <= (entries.at(-1)?.number ?? 0)) return; // it was read already
  store.wireOf.delete(entry.jid);
  store.wireOf.set(entry.jid, entries); // the account with the newest entry comes last
  entries.push(entry);
  if (entries.length > KEPT_OF_ACCOUNT) entries.shift();
  if (store.wireOf.size > 200) store.wireOf.delete(store.wireOf.keys().next().value);
}

/** Puts what was read of an account before what has come of it since. */
export function keepRead(jid, read) {
  const last = read.at(-1)?.number ?? 0;
  for (const entry of read) entry.serial = serial++;
  const since = (store.wireOf.get(jid) ?? []).filter((entry) => entry.number > last);
  store.wireOf.set(jid, [...read, ...since].slice(-KEPT_OF_ACCOUNT));
  store.wireRead = jid;
}

/** The chat that is open on the phone in focus, if there is one. */
export const openChat = () => store.phone?.chats.find((chat) => chat.peer === store.peer) ?? null;

/** Whether the page may change anything. */
export const isInControl = () => store.key !== "";
