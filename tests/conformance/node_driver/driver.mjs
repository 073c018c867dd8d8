// The driver of client.mjs: the commands of driver.proto on stdin and stdout, as far as milestone 2 of docs/conformance.md goes.
// Written from driver.proto and docs/conformance.md alone.
import protobuf from 'protobufjs';
import { CALL_MS, Device, failed, outcome, refused, root, wrong } from './client.mjs';

const devices = new Map();
const commands = { // What is not here is unsupported.
  describe: () => ({ description: { name: 'node-driver', version: '0.1.0', features: [1], commands: Object.keys(commands), max_devices: 64 } }),
  start_device(device, settings, name) {
    if (settings.proxy) throw outcome({ unsupported: { detail: 'no proxy' } });
    if (device || !/^[\w-]{1,64}$/.test(name)) throw wrong(`${name} cannot be started`);
    devices.set(name, new Device(name, settings, write));
  },
  stop_device(device, _, name) { devices.delete(name); return device?.disconnect(false); },
  supply_token(device, { token }) { device.onToken?.(token); },
  async enlist({ saved, settings }, { token }) { // The form of SPEC.md, "HTTP at the server".
    const id = Buffer.alloc(3);
    id.writeUIntBE(saved.signed.key_id, 0, 3);
    const keys = { authkey: saved.auth.public_key, e_keytype: Buffer.of(5), e_regid: saved.regId, e_ident: saved.identity.public_key,
      e_skey_id: id, e_skey_val: saved.signed.public_key, e_skey_sig: saved.signed.signature };
    const body = new URLSearchParams([['token', token], ...Object.entries(keys).map(([name, bytes]) => [name, bytes.toString('base64url')])]);
    const answer = await fetch(`${settings.http}/3p/interop_reg`, { method: 'POST', body, redirect: 'error', signal: AbortSignal.timeout(CALL_MS) })
      .then((response) => response.json()).catch((error) => { throw failed('CONNECTION_ENDED', error.cause ?? error); });
    if (answer.status !== 'ok') throw refused({ ...answer, reason: answer.reason.toUpperCase() });
    saved.jid = answer.login;
    return { account: { jid: saved.jid } };
  },
  async connect(device, { token }) {
    if (!device.saved.jid) throw wrong('nobody is enlisted');
    await device.disconnect(true);
    if (!token) device.show({ token_wanted: {} });
    const supplied = token || await new Promise((resolve) => { device.onToken = resolve; });
    if (!supplied) throw wrong('no token came');
    return device.connect(supplied);
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

const [DriveRequest, DriveResponse] = ['DriveRequest', 'DriveResponse'].map((name) => root.lookupType(`interop_api.conformance.v1.${name}`));
function write(response) { process.stdout.write(DriveResponse.encodeDelimited(DriveResponse.fromObject(response)).finish()); }
async function run({ id, device: name, command, [command]: fields }) {
  try {
    const device = devices.get(name);
    if (!Object.hasOwn(commands, command ?? '')) throw outcome({ unsupported: {} });
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
      const reader = protobuf.Reader.create(waiting), length = reader.uint32(), end = reader.pos + length;
      if (length > 2_097_152) throw new Error('too long');
      if (waiting.length < end) break;
      running.push(run(DriveRequest.decode(waiting.subarray(reader.pos, end))));
      waiting = waiting.subarray(end);
    }
  }
  if (waiting.length) throw new Error('it is cut short');
} catch (error) { console.error(`This is no DriveRequest: ${error.message}`); process.exit(2); }
for (const device of devices.values()) device.onToken?.(''); // None can come any more.
await Promise.all(running);
for (const device of devices.values()) await device.disconnect(false);
process.stdout.write('', () => process.exit(0));
