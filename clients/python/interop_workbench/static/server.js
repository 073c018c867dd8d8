// What the server sees of the person in focus: envelopes, records, connection, standing. No content is here to be shown.

import { foreign, h, patch, show } from "./dom.js";
import { count, dateTime, exactTime, number, size, visible, word } from "./format.js";
import { changed, openChat, store } from "./store.js";

const SHOWN = 120;
const QUIET = new Set(["ack", "ping", "pong", "client_hello", "server_hello", "client_finish", "login", "login_success", "offline_preview", "offline_end"]);
const RECORDS = {
  mailbox: "Messages that wait in the mailbox",
  one_time_prekey: "One-time prekeys left",
  one_time_prekey_history: "Prekeys published, as hashes",
  prekey_publication: "Times of publication",
  published_keys: "Published keys",
  sent_message: "Ids of messages sent or received",
  chat: "Chats: with whom, requested or accepted",
  opt_in: "Messengers chosen",
  interop_settings: "Choices of inbox and terms",
  account: "Account",
  given_jid: "Number and JID",
  connection: "Open connections",
  blocked: "Blocked people",
  journal: "Entries of the journal",
  media: "Files",
};
const NOTHING = "Nothing yet.";

let hasQuiet = false;
let isAllOpen = false;

/** What an envelope says, or null of a stanza that is none about the open chat. */
export function envelopeOf(entry) {
  const body = entry.content?.[entry.kind] ?? {};
  const isFromClient = entry.direction === "to_server";
  const acks = Array.isArray(body.acks) ? body.acks.map((ack) => ack.id) : [];
  return {
    isFromClient,
    from: body.from_jid ?? (isFromClient ? entry.jid : "server"),
    to: body.to_jid ?? (isFromClient ? "server" : entry.jid),
    peer: body.to_jid ?? body.from_jid ?? "",
    ids: [body.id, ...(body.message_ids ?? []), ...acks].filter((id) => typeof id === "string"),
    type: body.type === undefined ? "" : word(body.type, /^[A-Z]+_TYPE_/),
    sealed: Array.isArray(body.enc) ? body.enc : [],
  };
}

/** The server's side. */
export function serverView(parent) {
  if (parent.childElementCount === 0) {
    parent.append(
      h("div"),
      h("h3", {}, "Envelopes"),
      h("div", {}, quietBox()),
      h("ol", { class: "envelopes", tabindex: "0", "aria-label": "Envelopes, the newest first" }),
    );
  }
  const [facts, , , list] = parent.children;
  show(facts, JSON.stringify([store.account, isNobodyHere()]), accountView);
  const entries = entriesOf();
  const looks = (entry) => String(store.selected !== "" && envelopeOf(entry).ids.includes(store.selected));
  const wasSelected = list.querySelector(".is-selected");
  if (entries.length > 0) patch(list, entries, (entry) => entry.serial, looks, envelopeView);
  else show(list, NOTHING, () => h("li", { class: "empty" }, NOTHING));
  const selected = list.querySelector(".is-selected");
  if (wasSelected === null && selected !== null) list.scrollTop = selected.offsetTop - list.offsetTop - 8;
}

/** Whether this simulator has no people: then the envelopes are everybody's. */
const isNobodyHere = () => store.state !== null && store.people.length === 0;

function entriesOf() {
  const peer = openChat()?.peer ?? "";
  const all = isNobodyHere() ? store.wire : (store.wireOf.get(store.phone?.jid) ?? []);
  const wanted = all.filter((entry) => {
    if (entry.gap || (!hasQuiet && QUIET.has(entry.kind))) return false;
    const about = envelopeOf(entry).peer;
    return peer === "" || about === "" || about === peer;
  });
  return wanted.slice(-SHOWN).reverse();
}

function quietBox() {
  const box = h("input", { type: "checkbox" });
  box.addEventListener("change", () => {
    hasQuiet = box.checked;
    changed();
  });
  return h("label", { class: "check" }, box, " Also logins, acks and pings");
}

function envelopeView(entry) {
  const envelope = envelopeOf(entry);
  const isSelected = store.selected !== "" && envelope.ids.includes(store.selected);
  const way = envelope.isFromClient ? "→ server" : "← server";
  return h(
    "li",
    { class: `envelope ${isSelected ? "is-selected" : ""}` },
    h(
      "p",
      { class: "line" },
      h("span", { class: `way ${envelope.isFromClient ? "is-up" : "is-down"}` }, way),
      h("strong", {}, visible(word(entry.kind))),
      envelope.type !== "" && h("span", { class: "label" }, visible(envelope.type)),
      h("span", { class: "small when" }, `${exactTime(entry.at_ms)} · ${size(entry.size_bytes)}`),
    ),
    h("p", { class: "route" }, foreign(visible(envelope.from)), " → ", foreign(visible(envelope.to))),
    envelope.ids.length > 0 && h("p", { class: "small" }, "id ", foreign(visible(envelope.ids.slice(0, 8).join(", ")))),
    envelope.sealed.map((each) =>
      h(
        "p",
        { class: "sealed" },
        h("span", { class: "lock", "aria-hidden": "true" }),
        h("span", {}, `${word(each.type ?? "", "CIPHERTEXT_TYPE_")}, ${count(each.ciphertext?.length ?? 0, "byte")} sealed`),
        each.ciphertext?.sha256 && h("span", { class: "hash" }, `sha256 ${visible(each.ciphertext.sha256)}…`),
      ),
    ),
  );
}

function accountView() {
  const { account } = store;
  if (account === null) return h("p", { class: "empty", hidden: isNobodyHere() }, "Loading…");
  const { records, standing, connections } = account;
  const sanctions = standing.sanctions ?? [];
  const rest = Object.entries(records).filter(([name]) => name !== "mailbox" && name !== "one_time_prekey");
  return h(
    "div",
    {},
    h(
      "dl",
      { class: "figures" },
      figure("In the mailbox", number(records.mailbox ?? 0)),
      figure("One-time prekeys", number(records.one_time_prekey ?? 0)),
      figure("Connected", connections.length > 0 ? word(connections[0].mode ?? "direct", "CONNECTION_MODE_") : "no"),
      figure("Standing", sanctions.length > 0 ? `${count(sanctions.length, "sanction")}` : `score ${standing.score ?? 0}`),
    ),
    h(
      "details",
      { class: "more", open: isAllOpen, ontoggle: (event) => (isAllOpen = event.target.open) },
      h("summary", {}, "All that is kept of ", foreign(account.jid)),
      h("dl", { class: "pairs" }, rest.map(([name, value]) => pair(RECORDS[name] ?? word(name), number(value)))),
      h(
        "dl",
        { class: "pairs" },
        connections.map((each) => pair("Connected since", `${dateTime(each.connected_at_ms)} UTC, ${visible(each.peer_address ?? "")}`)),
        Object.entries(standing.points ?? {}).map(([name, value]) => pair(`Points for ${word(name)}`, String(value))),
        sanctions.map((each) => pair("Sanction", visible(word(each.kind ?? "", "SANCTION_KIND_")))),
      ),
    ),
  );
}

const figure = (term, value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));
const pair = (term, value) => h("div", {}, h("dt", {}, term), h("dd", {}, foreign(value)));
