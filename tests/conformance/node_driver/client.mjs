// A third-party client in plain Node.js, as far as milestone 2 of docs/conformance.md goes. Written from the protos and
// protos/SPEC.md alone, and sharing no code with the rest of the repository, it shows whether these suffice. It keeps keys,
// enlists, opens the chat channel, publishes prekeys and looks users up. It has no Signal sessions: its user is told of each
// message that it cannot be decrypted. What it has saved is kept in memory, over a restart.
import crypto from 'node:crypto';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { gcm } from '@noble/ciphers/aes.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';

export const CALL_MS = 30_000; // For a call or a handshake. The channel has no deadline: it would end with it.
export const root = new protobuf.Root();
root.resolvePath = (_, file) => fileURLToPath(new URL(`../../../protos/interop_api/${file.replace('interop_api/', '')}`, import.meta.url));
root.loadSync(['v1/prekeys.proto', 'v1/interop.proto', 'v1/integrity.proto', 'conformance/v1/driver.proto'], { keepCase: true });
// google.rpc.Status, in which a refused call carries its Refusal (errors.proto): it is not among the protos.
protobuf.parse(`syntax = "proto3"; message Status { repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }`, root, { keepCase: true });
const type = (name) => root.lookupType(`interop_api.v1.${name}`);
const codec = (request, response) => [(fields) => encode(request, fields), (bytes) => type(response).decode(bytes)];
const encode = (name, fields) => Buffer.from(type(name).encode(type(name).fromObject(fields)).finish());
const ERROR_REASONS = root.lookupEnum('ErrorReason').valuesById, { RECOVERY_NEW_KEYS } = root.lookupEnum('Recovery').values;

// A command did not work: `result` is what the kit is told.
export const outcome = (result, recovery) => Object.assign(new Error(JSON.stringify(result)), { result, recovery });
export const failed = (kind, detail) => outcome({ failed: { kind: `FAILURE_KIND_${kind}`, detail: String(detail).slice(0, 1000) } });
export const wrong = (detail) => failed('WRONG_COMMAND', detail);
export const refused = ({ reason, recovery, requirement, advice, retry_after_ms, request_id, code }) => outcome({ refused: {
  reason: String(ERROR_REASONS[reason] ?? reason).replace('ERROR_REASON_', ''), requirement, advice, retry_after_ms, request_id, code } }, recovery);
function callFailed({ code, details, metadata }) { // A gRPC call, with its Refusal or without one.
  const [status] = metadata.get('grpc-status-details-bin');
  const any = status && root.lookupType('Status').decode(status).details.find((d) => d.type_url.endsWith('/interop_api.v1.Refusal'));
  if (any) return refused(type('Refusal').decode(any.value));
  const kind = { [grpc.status.DEADLINE_EXCEEDED]: 'TIMED_OUT', [grpc.status.CANCELLED]: 'CONNECTION_ENDED' }[code];
  return kind ? failed(kind, details) : refused({ reason: grpc.status[code], advice: details });
}

// Keys and signatures (SPEC.md). Numbers of curves are little-endian.
const hash = (name, ...parts) => crypto.createHash(name).update(Buffer.concat(parts)).digest();
const number = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const bytes32 = (n) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex').reverse();
const { BASE, Fp, Fn } = ed25519.Point;
const uOf = (publicKey) => number(publicKey) & ((1n << 255n) - 1n); // The top bit is ignored.
function newKey() { // By OpenSSL, because a kit can ask for 20,000.
  const { x, d } = crypto.generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return { public_key: Buffer.from(x, 'base64url'), secret: Buffer.from(d, 'base64url') };
}
function agree(secret, publicKey) { // x25519 throws when the result is all zero: for each key of low order.
  if (publicKey.length !== 32 || uOf(publicKey) >= Fp.ORDER) throw new Error('not a Curve25519 key');
  return Buffer.from(x25519.getSharedSecret(secret, publicKey));
}
function sign(secret, message) { // XEdDSA, as libsignal does it: the top bit of the Edwards key goes into the last byte.
  const k = Buffer.from(secret);
  k[0] &= 248; k[31] = (k[31] & 127) | 64; // As X25519 does.
  const edwardsKey = BASE.multiply(Fn.create(number(k))).toBytes();
  const r = Fn.create(number(hash('sha512', Buffer.from('fe'.padEnd(64, 'f'), 'hex'), k, message, crypto.randomBytes(64))));
  const R = BASE.multiply(r).toBytes(), s = bytes32(Fn.create(r + number(hash('sha512', R, edwardsKey, message)) * number(k)));
  s[31] |= edwardsKey[31] & 128;
  return Buffer.concat([R, s]);
}
function verify(publicKey, message, signature) {
  agree(crypto.randomBytes(32), publicKey); // Everybody can sign under a key of low order.
  const u = uOf(publicKey), edwardsKey = bytes32(Fp.div(Fp.create(u - 1n), Fp.create(u + 1n))), plain = Buffer.from(signature);
  edwardsKey[31] |= plain[63] & 128; plain[63] &= 127;
  if (!ed25519.verify(plain, message, edwardsKey, { zip215: false })) throw new Error('a signature does not verify');
}
const signedPreKey = (identity, key_id, key = newKey()) =>
  ({ ...key, key_id, signature: sign(identity.secret, Buffer.concat([Buffer.of(5), key.public_key])) });

// The handshake, its frames, and the server's certificates (SPEC.md).
const nonce = (counter) => { const bytes = Buffer.alloc(12); bytes.writeUInt32BE(counter, 8); return bytes; };
const seal = (key, counter, plaintext, ...aad) => Buffer.from(gcm(key, nonce(counter), ...aad).encrypt(plaintext));
const open = (key, counter, sealed, ...aad) => Buffer.from(gcm(key, nonce(counter), ...aad).decrypt(sealed));
const hmac = (key, ...parts) => crypto.createHmac('sha256', key).update(Buffer.concat(parts)).digest();
const derive = (ck, x) => { const t = hmac(ck, x), first = hmac(t, Buffer.of(1)); return [first, hmac(t, first, Buffer.of(2))]; };
class Noise {
  constructor() { this.h = this.ck = Buffer.from('Noise_XX_25519_AESGCM_SHA256\0\0\0\0'); this.mix(Buffer.from('57410603', 'hex')); }
  mix(bytes) { this.h = hash('sha256', this.h, bytes); }
  agree(...keys) { [this.ck, this.k] = derive(this.ck, agree(...keys)); this.n = 0; }
  seal(plaintext) { const sealed = seal(this.k, this.n++, plaintext, this.h); this.mix(sealed); return sealed; }
  open(sealed) { const plaintext = open(this.k, this.n++, sealed, this.h); this.mix(sealed); return plaintext; }
}
function checkCertificates(payload, rootKey, staticKey) {
  const chain = type('CertificateChain').decode(payload), now = Math.floor(Date.now() / 1000);
  const [leaf, middle] = [chain.leaf, chain.intermediate].map((c) => type('CertificateDetails').decode(c.details));
  verify(rootKey, chain.intermediate.details, chain.intermediate.signature);
  verify(middle.key, chain.leaf.details, chain.leaf.signature);
  if (middle.issuer_serial !== 0 || leaf.issuer_serial !== middle.serial) throw new Error('the certificates are no chain');
  if ([leaf, middle].some((c) => now < Number(c.not_before) || now > Number(c.not_after))) throw new Error('a certificate is not valid now');
  if (!leaf.key.equals(staticKey)) throw new Error('the certificate is of another key');
}

export class Device { // A client: what it has saved, which a restart keeps and a wipe does not, and its connection.
  constructor(name, settings, tell) { Object.assign(this, { name, settings, tell, number: 0 }); this.wipe(); }
  wipe() {
    const identity = newKey(), signed = signedPreKey(identity, 1), regId = crypto.randomBytes(4);
    this.saved = { auth: newKey(), identity, signed, regId, preKeys: new Map(), lastId: 0, jid: '' };
  }
  show(event) { this.tell({ event: { device: this.name, number: ++this.number, ...event } }); }
  quietly(work) { // What no command asked for.
    const show = (error) => this.show({ error_shown: { reason: error.result?.refused?.reason ?? 'FAILED', detail: error.message.slice(0, 1000) } });
    return work.catch(show);
  }
  connect(token) { // Resolves once it is logged in.
    const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_http_proxy': 0 }; // Each device has a connection of its own.
    const client = new grpc.Client(this.settings.grpc, grpc.credentials.createInsecure(), options);
    const call = client.makeBidiStreamRequest('/interop_api.v1.ChatService/Connect', ...codec('ConnectRequest', 'ConnectResponse'));
    const c = { client, call, token, sent: 0, received: 0, noise: new Noise(), ephemeral: newKey() };
    this.connection = c;
    return new Promise((onLogin, onRefusal) => {
      Object.assign(c, { onLogin, onRefusal, ended: new Promise((onEnd) => { c.onEnd = onEnd; }) });
      const fail = (error) => { onRefusal(error.result ? error : failed('UNSPECIFIED', error)); call.cancel(); };
      const end = (error) => { // Can come twice: the second time changes nothing.
        if (c.metadata && this.connection === c) this.show({ connection_changed: { is_connected: false, reason: c.reason } });
        if (this.connection === c) this.connection = null;
        clearInterval(c.timer); onRefusal(error); client.close(); c.onEnd();
      };
      c.timer = setTimeout(() => fail(failed('TIMED_OUT', 'the login was not answered')), CALL_MS);
      call.on('data', ({ handshake, sealed }) => {
        try {
          if (!c.keys) this.answerHello(handshake.server_hello, c);
          else for (const stanza of type('Batch').decode(open(c.keys[1], c.received++, sealed)).stanzas) this.take(stanza, c);
        } catch (error) { fail(error); }
      });
      call.on('error', (error) => end(callFailed(error))).on('end', () => end(failed('CONNECTION_ENDED', 'the server ended the stream')));
      c.noise.mix(c.ephemeral.public_key);
      call.write({ handshake: { client_hello: { ephemeral: c.ephemeral.public_key } } });
    });
  }
  async disconnect(isClean) {
    const { connection: c } = this;
    if (!c) return;
    c.reason = 'CLOSED';
    if (isClean) c.call.end(); else c.call.cancel();
    setTimeout(() => c.call.cancel(), 5000).unref(); // When the server does not end it.
    await c.ended;
  }
  answerHello(hello, c) {
    const { noise, ephemeral } = c, { saved } = this;
    try {
      noise.mix(hello.ephemeral); noise.agree(ephemeral.secret, hello.ephemeral);
      const staticKey = noise.open(hello.static_key);
      noise.agree(ephemeral.secret, staticKey);
      checkCertificates(noise.open(hello.payload), this.settings.root_public_key, staticKey); // Before the token leaves.
    } catch (error) { throw failed('UNTRUSTED_SERVER', error); }
    const static_key = noise.seal(saved.auth.public_key), account_id = saved.jid.match(/-(\d+)@/)[1];
    noise.agree(saved.auth.secret, hello.ephemeral);
    const payload = noise.seal(encode('LoginPayload', { product: 2, protocol_version: 1, connection_mode: 1, capabilities: ['CAPABILITY_KEY_DIGESTS'],
      interop_data: { account_id, token: Buffer.from(c.token), enable_read_receipts: this.settings.read_receipts ?? true } }));
    c.keys = derive(noise.ck, Buffer.alloc(0));
    c.call.write({ handshake: { client_finish: { static_key, payload } } });
  }
  take(stanza, c) {
    const { kind, delivery_id, [kind]: content } = stanza, { event } = content ?? {};
    const send = (answer) => c.call.write({ sealed: seal(c.keys[0], c.sent++, encode('Batch', { stanzas: [answer] })) });
    const isKnown = kind === 'notification' ? ['prekeys_low', 'identity_changed', 'digest_requested'].includes(event) : kind;
    if (kind === 'login_success') {
      clearTimeout(c.timer);
      c.timer = setInterval(() => send({ ping: {} }), content.limits.keepalive_seconds * 500);
      c.metadata = grpc.Metadata.fromHttp2Headers({ authorization: `Bearer ${content.session_token}` });
      this.show({ connection_changed: { is_connected: true } });
      c.onLogin();
    } else if (kind === 'login_failure') c.onRefusal(refused(content.error));
    else if (kind === 'stream_error') c.reason = refused(content.error).result.refused.reason;
    else if (kind === 'offline_preview') send({ offline_batch: { count: 200 } }); // And one more for each that comes, below.
    else if (event === 'prekeys_low')
      this.refilling ??= this.quietly(this.refill(content.prekeys_low.count)).finally(() => { this.refilling = null; });
    else if (event === 'digest_requested') this.quietly(this.compareDigest());
    else if (event === 'identity_changed') this.show({ identity_change_shown: { jid: content.identity_changed.jid } });
    else if (kind === 'message') this.show({ undecryptable_shown: { sender_jid: content.from_jid, message_id: content.id } });
    const answer = !isKnown ? { nack: { delivery_id, nack_code: 488 } } : kind === 'message' ? { nack: { delivery_id, nack_code: 500 } }
      : { ack: { delivery_ids: [delivery_id] } };
    if (Number(delivery_id)) send(answer); // 0 is no delivery.
    if (stanza.offline) send({ offline_batch: { count: 1 } });
  }
  async rpc(service, method, fields) {
    const { client, metadata } = this.connection ?? {};
    if (!metadata) throw wrong('not connected');
    const path = `/interop_api.v1.${service}/${method}`, options = { deadline: Date.now() + CALL_MS };
    return new Promise((resolve, reject) => client.makeUnaryRequest(path, ...codec(`${method}Request`, `${method}Response`), fields, metadata,
      options, (error, response) => (error ? reject(callFailed(error)) : resolve(response))));
  }
  newPreKeys(count) { // Saved before they are sent: if the answer is lost, the server may have them. `secret` is no field and stays.
    const keys = Array.from({ length: count }, () => ({ ...newKey(), key_id: (this.saved.lastId = (this.saved.lastId % 16_777_215) + 1) }));
    for (const key of keys) this.saved.preKeys.set(key.key_id, key);
    return keys;
  }
  async publish(count) {
    const { saved } = this, one_time_prekeys = this.newPreKeys(count);
    saved.isPublished = true;
    const set = () => this.rpc('PreKeyService', 'SetPreKeys', { registration_id: saved.regId.readUInt32BE(), key_type: Buffer.of(5),
      identity_key: saved.identity.public_key, signed_prekey: saved.signed, one_time_prekeys });
    try { await set(); } catch (error) {
      if (error.recovery !== RECOVERY_NEW_KEYS) throw error;
      saved.signed = signedPreKey(saved.identity, saved.signed.key_id + 1);
      await set();
    }
  }
  async refill(noticed) { // The notice comes also when nothing was published, again, or untrue: the count decides.
    if (!this.saved.isPublished || (await this.rpc('PreKeyService', 'CountOneTimePreKeys', {})).count > noticed) return;
    await this.rpc('PreKeyService', 'AddOneTimePreKeys', { one_time_prekeys: this.newPreKeys(100) });
  }
  async compareDigest() {
    const { saved: { identity, signed, preKeys } } = this, { one_time_prekey_ids: ids, digest } = await this.rpc('PreKeyService', 'GetKeyDigest', {});
    const left = ids.map((id) => preKeys.get(id)?.public_key ?? Buffer.alloc(0));
    if (!hash('sha1', identity.public_key, signed.public_key, signed.signature, ...left).equals(digest)) await this.publish(100);
  }
}
