/**
 * Parses other users' prekey bundles, as the server sends them; does not verify them.
 *
 * Source: KEY-05 to KEY-07, KEY-15, KEY-16.
 */

import { refusalFromProto } from "../errors.js";
import type { PreKeyBundleResult } from "../gen/interop_api/v1/prekeys_pb.js";
import type { PreKeyBundle } from "../signal/index.js";

const NONE = new Uint8Array();

/**
 * Returns the bundle of one user's primary device, which comes first (KEY-08).
 *
 * @param result The server's answer for the user.
 * @throws ServerRefusal The server returned no bundle of this user.
 */
export function bundleFrom(result: PreKeyBundleResult): PreKeyBundle {
  if (result.error !== undefined) {
    throw refusalFromProto(result.error);
  }
  // A result without bundles becomes a bundle without keys, which its verification refuses.
  const bundle = result.bundles[0];
  return {
    registrationId: bundle?.registrationId ?? 0,
    deviceId: bundle?.device?.deviceId ?? 0,
    identityKey: bundle?.identityKey ?? NONE,
    signedPrekey: bundle?.signedPrekey ?? { keyId: 0, publicKey: NONE, signature: NONE },
    oneTimePrekey: bundle?.oneTimePrekey,
    kemPrekey: bundle?.kemPrekey,
    kemWithdrawn: bundle?.kemWithdrawn ?? false,
  };
}
