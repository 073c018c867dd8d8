/** Bob's messenger vouches for Bob with a token, Bob becomes an account and connects; a false server gets no token. */

import { CertificateError, ClientState, ServerRefusal, ThirdPartyClient } from "interopsim-client";

import { endpoint, expect, Messenger } from "./stage.js";

await using bobsMessenger = await Messenger.open(111);
console.log("Sample Messenger 111 is registered, and its key is known.");
const state = ClientState.generate();
const bob = bobsMessenger.user("bob", {}, state);
try {
  const jid = await bob.enlist(await bobsMessenger.token("bob"));
  expect(jid.startsWith("111-") && jid.endsWith("@interop"), `Bob is enlisted as ${jid}.`);
  const again = await bob.enlistOverHttp(endpoint().http, await bobsMessenger.token("bob"));
  expect(again === jid, "The form post of POST /3p/interop_reg finds the same account.");

  await bob.connect();
  const started = performance.now();
  await bob.ping();
  console.log(`${jid} is connected; a ping took ${(performance.now() - started).toFixed(1)} ms.`);

  const refusal = await bob.enlist("no.token.at-all").catch((error: unknown) => error);
  expect(refusal instanceof ServerRefusal && refusal.reason === "TOKEN_MALFORMED", `A false token: ${String(refusal)}`);
} finally {
  await bob.close();
}

const impostor = { ...endpoint(), rootPublicKey: new Uint8Array(32).fill(9, 31) };
const deceived = ThirdPartyClient.direct(impostor, state, () => bobsMessenger.token("bob"));
const error = await deceived.connect().catch((error: unknown) => error);
await deceived.close();
expect(
  error instanceof CertificateError && error.reason === "WRONG_ROOT",
  "A server under another root gets no login.",
);
