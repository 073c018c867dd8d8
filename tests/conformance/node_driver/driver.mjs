// A third-party client in one file, behind a driver of the conformance kit: what docs/conformance.md asks for up to milestone 2.
// Written from the protos and protos/SPEC.md alone, and sharing no code with the rest of the repository, it shows that these
// suffice. It keeps keys, enlists, opens the chat channel, publishes prekeys and looks users up. It has no Signal sessions: its
// user is told of each message that it cannot be decrypted. "Saved" means: kept in memory over a restart.
import crypto from 'node:crypto';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { gcm } from '@noble/ciphers/aes.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';

const CALL_MS = 30_000; // For a call or a handshake. The channel has no deadline: it would end with it.
const root = new protobuf.Root();
root.resolvePath = (_, file) => fileURLToPath(new URL(`../../../protos/${file}`, import.meta.url));
const files = ['v1/stanza', 'v1/prekeys', 'v1/interop', 'v1/integrity', 'conformance/v1/driver'];
root.loadSync(files.map((file) => `interop_api/${file}.proto`), { keepCase: true });
// google.rpc.Status, in which a refused call carries its Refusal (errors.proto): it is not among the protos.
protobuf.parse(`syntax = "proto3"; message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }`, root, { keepCase: true });
const type = (name) => root.lookupType(`interop_api.v1.${name}`);
const encode = (name, fields) => Buffer.from(type(name).encode(type(name).fromObject(fields)).finish());
const [DriveRequest, DriveResponse] = ['Request', 'Response'].map((s) => root.lookupType(`interop_api.conformance.v1.Drive${s}`));
const { RECOVERY_NEW_KEYS } = root.lookupEnum('interop_api.v1.Recovery').values;

class Outcome extends Error { // A command did not work: `result` is what the kit is told.
  constructor(result, recovery) { super(JSON.stringify(result)); Object.assign(this, { result, recovery }); }
}
const failed = (kind, detail) => new Outcome({ failed: { kind: `FAILURE_KIND_${kind}`, detail: String(detail).slice(0, 1000) } });
const wrong = (detail) => failed('WRONG_COMMAND', detail);
function refused({ reason, recovery, requirement, advice, retry_after_ms, request_id, code }) {
  const name = root.lookupEnum('interop_api.v1.ErrorReason').valuesById[reason] ?? String(reason);
  return new Outcome({ refused: { reason: name.replace('ERROR_REASON_', ''), requirement, advice, retry_after_ms, request_id, code } }, recovery);
}
function callFailed(error) { // A gRPC call, with its Refusal or without one.
  const [status] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const detail = status && root.lookupType('Status').decode(status).details.find((any) => any.type_url.endsWith('/interop_api.v1.Refusal'));
  if (detail) return refused(type('Refusal').decode(detail.value));
  if (error.code === grpc.status.DEADLINE_EXCEEDED) return failed('TIMED_OUT', error.details);
  if (error.code === grpc.status.CANCELLED) return failed('CONNECTION_ENDED', error.details);
  return refused({ reason: grpc.status[error.code], advice: error.details });
}

// Keys and signatures (SPEC.md). Numbers of curves are little-endian.
const hash = (name, ...parts) => crypto.createHash(name).update(Buffer.concat(parts)).digest();
const number = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const bytes32 = (n) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex').reverse();
const { BASE, Fp, Fn } = ed25519.Point;
const uOf = (publicKey) => number(publicKey) & ((1n << 255n) - 1n); // The top bit is ignored.
function newKey() { // By OpenSSL, because a kit can ask for 20,000.
  const { x, d } = crypto.generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return { publicKey: Buffer.from(x, 'base64url'), privateKey: Buffer.from(d, 'base64url') };
}
function agree(privateKey, publicKey) { // x25519 throws when the secret is all zero: for each key of low order.
  if (publicKey.length !== 32 || uOf(publicKey) >= Fp.ORDER) throw new Error('not a Curve25519 key');
  return Buffer.from(x25519.getSharedSecret(privateKey, publicKey));
}
function sign(privateKey, message) { // XEdDSA, as libsignal does it: the sign of the Edwards key goes into the last bit.
  const k = Buffer.from(privateKey);
  k[0] &= 248; k[31] = (k[31] & 127) | 64;
  const edwardsKey = BASE.multiply(Fn.create(number(k))).toBytes();
  const r = Fn.create(number(hash('sha512', Buffer.from('fe'.padEnd(64, 'f'), 'hex'), k, message, crypto.randomBytes(64))));
  const R = BASE.multiply(r).toBytes();
  const s = bytes32(Fn.create(r + number(hash('sha512', R, edwardsKey, message)) * number(k)));
  s[31] |= edwardsKey[31] & 128;
  return Buffer.concat([R, s]);
}
function verify(publicKey, message, signature) {
  agree(crypto.randomBytes(32), publicKey); // Everybody can sign under a key of low order.
  const edwardsKey = bytes32(Fp.div(Fp.create(uOf(publicKey) - 1n), Fp.create(uOf(publicKey) + 1n))), plain = Buffer.from(signature);
  edwardsKey[31] |= plain[63] & 128; plain[63] &= 127;
  if (!ed25519.verify(plain, message, edwardsKey, { zip215: false })) throw new Error('a signature does not verify');
}
function signedPreKey({ privateKey }, id) {
  const key = newKey();
  return { key_id: id, public_key: key.publicKey, privateKey: key.privateKey, signature: sign(privateKey, Buffer.concat([Buffer.of(5), key.publicKey])) };
}

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
function checkCertificates(chain, rootKey, staticKey) {
  if (chain.length !== 240) throw new Error('the chain has not 240 bytes');
  const leaf = chain.subarray(0, 120), middle = chain.subarray(120), now = BigInt(Math.floor(Date.now() / 1000));
  verify(rootKey, middle.subarray(0, 56), middle.subarray(56));
  verify(middle.subarray(8, 40), leaf.subarray(0, 56), leaf.subarray(56));
  if (middle.readUInt32BE(4) !== 0 || leaf.readUInt32BE(4) !== middle.readUInt32BE(0)) throw new Error('the certificates are no chain');
  if (!leaf.subarray(8, 40).equals(staticKey)) throw new Error('the certificate is of another key');
  if ([leaf, middle].some((c) => now < c.readBigUInt64BE(40) || now > c.readBigUInt64BE(48))) throw new Error('not valid now');
}

class Connection { // The stream, from the handshake to its end, and the calls of its session.
  constructor(device, token) {
    Object.assign(this, { device, token, sent: 0, received: 0, noise: new Noise(), ephemeral: newKey() });
    this.client = new grpc.Client(device.grpc, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_http_proxy': 0 });
    this.call = this.client.makeBidiStreamRequest('/interop_api.v1.ChatService/Connect', (m) => encode('ConnectRequest', m), (b) => type('ConnectResponse').decode(b));
    this.login = new Promise((resolve, reject) => Object.assign(this, { onLogin: resolve, onRefusal: reject }));
    this.ended = new Promise((resolve) => { this.onEnd = resolve; });
    this.timer = setTimeout(() => this.fail(failed('TIMED_OUT', 'the login was not answered')), CALL_MS);
    this.call.on('data', (response) => { try { this.take(response); } catch (error) { this.fail(error); } });
    this.call.on('error', (error) => this.end(callFailed(error)));
    this.call.on('end', () => this.end(failed('CONNECTION_ENDED', 'the server ended the stream')));
    this.noise.mix(this.ephemeral.publicKey);
    this.call.write({ handshake: { client_hello: { ephemeral: this.ephemeral.publicKey } } });
  }
  fail(error) { this.onRefusal(error.result ? error : failed('UNSPECIFIED', error)); this.call.cancel(); }
  end(error) { // After an error stream and promise end once more, which changes nothing.
    clearInterval(this.timer); this.onRefusal(error); this.client.close(); this.onEnd();
    if (this.device.connection !== this) return;
    this.device.connection = null;
    if (this.metadata) this.device.show({ connection_changed: { is_connected: false, reason: this.reason } });
  }
  take(response) {
    if (!this.keys) this.answerHello(response.handshake?.server_hello);
    else for (const stanza of type('Batch').decode(open(this.keys[1], this.received++, response.sealed)).stanzas) this.device.take(stanza, this);
  }
  answerHello(hello) {
    const { noise, device: { root: rootKey, saved, readReceipts }, ephemeral } = this;
    try {
      noise.mix(hello.ephemeral); noise.agree(ephemeral.privateKey, hello.ephemeral);
      const staticKey = noise.open(hello.static_key);
      noise.agree(ephemeral.privateKey, staticKey);
      checkCertificates(noise.open(hello.payload), rootKey, staticKey); // Before the token leaves.
    } catch (error) { throw failed('UNTRUSTED_SERVER', error); }
    const static_key = noise.seal(saved.auth.publicKey), account_id = saved.jid.match(/-(\d+)@/)[1];
    noise.agree(saved.auth.privateKey, hello.ephemeral);
    const payload = noise.seal(encode('LoginPayload', { product: 2, protocol_version: 1, connection_mode: 1, capabilities: ['CAPABILITY_KEY_DIGESTS'],
      interop_data: { account_id, token: Buffer.from(this.token), enable_read_receipts: readReceipts } }));
    this.keys = derive(noise.ck, Buffer.alloc(0));
    this.call.write({ handshake: { client_finish: { static_key, payload } } });
  }
  send(stanza) { this.call.write({ sealed: seal(this.keys[0], this.sent++, encode('Batch', { stanzas: [stanza] })) }); }
  rpc(service, method, fields) {
    return new Promise((resolve, reject) => this.client.makeUnaryRequest(`/interop_api.v1.${service}/${method}`, (m) => encode(`${method}Request`, m),
      (b) => type(`${method}Response`).decode(b), fields, this.metadata, { deadline: Date.now() + CALL_MS }, (e, response) => (e ? reject(callFailed(e)) : resolve(response))));
  }
}

class Device { // A client: what it has saved, which a restart keeps and a wipe does not, and its connection.
  constructor(name, { grpc: address, http, root_public_key, read_receipts }) {
    Object.assign(this, { name, grpc: address, http, root: root_public_key, readReceipts: read_receipts ?? true, number: 0 });
    this.wipe();
  }
  wipe() {
    const auth = newKey(), identity = newKey(), regId = crypto.randomBytes(4);
    this.saved = { auth, identity, regId, signed: signedPreKey(identity, 1), preKeys: new Map(), lastId: 0, jid: '' };
  }
  show(event) { write({ event: { device: this.name, number: ++this.number, ...event } }); }
  quietly(work) { return work.catch((e) => this.show({ error_shown: { reason: e.result?.refused?.reason ?? 'FAILED', detail: e.message.slice(0, 1000) } })); }
  take(stanza, connection) {
    const { kind, delivery_id, [kind]: content } = stanza, { event } = content ?? {};
    let nack_code = kind && (kind !== 'notification' || ['prekeys_low', 'identity_changed', 'digest_requested'].includes(event)) ? 0 : 488; // Not known.
    if (kind === 'login_success') {
      clearTimeout(connection.timer);
      connection.timer = setInterval(() => connection.send({ ping: {} }), content.limits.keepalive_seconds * 500);
      connection.metadata = grpc.Metadata.fromHttp2Headers({ authorization: `Bearer ${content.session_token}` });
      this.show({ connection_changed: { is_connected: true } });
      connection.onLogin();
    } else if (kind === 'login_failure') connection.onRefusal(refused(content.error));
    else if (kind === 'stream_error') connection.reason = refused(content.error).result.refused.reason;
    else if (kind === 'offline_preview') connection.send({ offline_batch: { count: 200 } }); // Of 200, and one for each that came.
    else if (event === 'prekeys_low') this.refilling ??= this.quietly(this.refill(content.prekeys_low.count)).finally(() => { this.refilling = null; });
    else if (event === 'digest_requested') this.quietly(this.compareDigest());
    else if (event === 'identity_changed') this.show({ identity_change_shown: { jid: content.identity_changed.jid } });
    else if (kind === 'message') {
      this.show({ undecryptable_shown: { sender_jid: content.from_jid, message_id: content.id } });
      nack_code = 500;
    }
    if (!Number(delivery_id)) return;
    connection.send(nack_code ? { nack: { delivery_id, nack_code } } : { ack: { delivery_ids: [delivery_id] } });
    if (stanza.offline) connection.send({ offline_batch: { count: 1 } });
  }
  async disconnect(isClean) {
    const { connection } = this;
    if (!connection) return;
    connection.reason = 'CLOSED';
    if (isClean) connection.call.end(); else connection.call.cancel();
    setTimeout(() => connection.call.cancel(), 5000).unref(); // A server that does not end it.
    await connection.ended;
  }
  async rpc(...call) {
    if (!this.connection?.metadata) throw wrong('not connected');
    return this.connection.rpc(...call);
  }
  newPreKeys(count) { // Saved before they are sent: if the answer is lost, the server may have them.
    return Array.from({ length: count }, () => {
      const { saved } = this, { publicKey: public_key, privateKey } = newKey();
      saved.lastId = (saved.lastId % 16_777_215) + 1;
      saved.preKeys.set(saved.lastId, { public_key, privateKey });
      return { key_id: saved.lastId, public_key };
    });
  }
  async publish(count) {
    const { saved } = this, one_time_prekeys = this.newPreKeys(count);
    saved.isPublished = true;
    const set = () => this.rpc('PreKeyService', 'SetPreKeys', { registration_id: saved.regId.readUInt32BE(), key_type: Buffer.of(5),
      identity_key: saved.identity.publicKey, signed_prekey: saved.signed, one_time_prekeys });
    await set().catch((error) => {
      if (error.recovery !== RECOVERY_NEW_KEYS) throw error;
      saved.signed = signedPreKey(saved.identity, saved.signed.key_id + 1);
      return set();
    });
  }
  async refill(noticed) { // The notice comes also when nothing was published, again, or untrue: the count decides.
    if (!this.saved.isPublished || (await this.rpc('PreKeyService', 'CountOneTimePreKeys', {})).count > noticed) return;
    await this.rpc('PreKeyService', 'AddOneTimePreKeys', { one_time_prekeys: this.newPreKeys(100) });
  }
  async compareDigest() {
    const { saved: { identity, signed, preKeys } } = this, { one_time_prekey_ids: ids, digest } = await this.rpc('PreKeyService', 'GetKeyDigest', {});
    const left = ids.map((id) => preKeys.get(id)?.public_key ?? Buffer.alloc(0));
    if (!hash('sha1', identity.publicKey, signed.public_key, signed.signature, ...left).equals(digest)) await this.publish(100);
  }
}

const devices = new Map();
const commands = { // What is not here is unsupported.
  describe: () => ({ description: { name: 'node-driver', version: '0.1.0', features: [1], commands: Object.keys(commands), max_devices: 64 } }),
  start_device(device, settings, name) {
    if (device || !/^[\w-]{1,64}$/.test(name)) throw wrong(`${name} cannot be started`);
    if (settings.proxy) throw new Outcome({ unsupported: { detail: 'no proxy' } });
    devices.set(name, new Device(name, settings));
  },
  async stop_device(device, _, name) { devices.delete(name); await device?.disconnect(false); },
  supply_token(device, { token }) { device.onToken?.(token); },
  async enlist({ saved, http }, { token }) { // The form of SPEC.md, "HTTP at the server".
    const id = Buffer.alloc(3);
    id.writeUIntBE(saved.signed.key_id, 0, 3);
    const fields = { authkey: saved.auth.publicKey, e_keytype: Buffer.of(5), e_regid: saved.regId, e_ident: saved.identity.publicKey,
      e_skey_id: id, e_skey_val: saved.signed.public_key, e_skey_sig: saved.signed.signature };
    const body = new URLSearchParams(Object.entries(fields).map(([name, bytes]) => [name, bytes.toString('base64url')]));
    body.set('token', token);
    const request = { method: 'POST', body, redirect: 'error', signal: AbortSignal.timeout(CALL_MS) };
    const answer = await fetch(`${http}/3p/interop_reg`, request).then((response) => response.json()).catch((error) => { throw failed('CONNECTION_ENDED', error.cause ?? error); });
    if (answer.status !== 'ok') throw refused({ ...answer, reason: answer.reason.toUpperCase() });
    saved.jid = answer.login;
    return { account: { jid: saved.jid } };
  },
  async connect(device, { token }) {
    if (!device.saved.jid) throw wrong('nobody is enlisted');
    await device.disconnect(true);
    if (!token) device.show({ token_wanted: {} });
    device.connection = new Connection(device, token || await new Promise((resolve) => { device.onToken = resolve; }));
    await device.connection.login;
  },
  disconnect(device, { ending }) { if (!ending) throw wrong('no ending'); return device.disconnect(ending === 1); },
  restart: (device) => device.disconnect(false),
  async wipe(device) { await device.disconnect(false); device.wipe(); },
  publish_prekeys: (device, { count }) => device.publish(Math.min(count, 20_000)),
  async resolve(device, { external_id }) {
    const { users: [{ error, resolved }] } = await device.rpc('InteropService', 'Resolve', { users: [{ external_id }] });
    if (error) throw refused(error);
    return { account: { jid: resolved.jid } };
  },
  list_blocked: async (device) => ({ blocked: { jids: (await device.rpc('IntegrityService', 'GetBlocklist', {})).jids } }),
};

function write(response) { process.stdout.write(DriveResponse.encodeDelimited(DriveResponse.fromObject(response)).finish()); }
async function run({ id, device: name, command, [command]: fields }) {
  try {
    const device = devices.get(name);
    if (!Object.hasOwn(commands, command ?? '')) throw new Outcome({ unsupported: {} });
    if (!device && !['describe', 'start_device', 'stop_device'].includes(command)) throw wrong(`there is no device ${name}`);
    write({ result: { id, ...(await commands[command](device, fields, name) ?? { done: {} }) } });
  } catch (error) { write({ result: { id, ...(error.result ?? failed('UNSPECIFIED', error.stack).result) } }); }
}
let waiting = Buffer.alloc(0);
const running = [];
try { // Each message has its length before it, as a varint.
  for await (const chunk of process.stdin) {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.findIndex((byte) => byte < 128) >= 0 || waiting.length > 5) {
      const reader = protobuf.Reader.create(waiting), end = reader.uint32() + reader.pos;
      if (end > 2_097_152 + 5) throw new Error('too long');
      if (waiting.length < end) break;
      running.push(run(DriveRequest.decode(waiting.subarray(reader.pos, end))));
      waiting = waiting.subarray(end);
    }
  }
} catch (error) { console.error(`This is no DriveRequest: ${error.message}`); process.exit(2); }
await Promise.race([Promise.all(running), new Promise((resolve) => { setTimeout(resolve, 2 * CALL_MS).unref(); })]);
await Promise.all([...devices.values()].map((device) => device.disconnect(false)));
process.stdout.write('', () => process.exit(0));
