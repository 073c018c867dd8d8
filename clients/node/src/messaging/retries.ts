/**
 * A recipient's requests to send messages again; knows no network and saves nothing.
 *
 * The first request has a count and a reason. From the second on, it also has a bundle made for this purpose, so that
 * the sender can begin a new session whose keys the recipient certainly has. Source: RCP-03, RCP-04, MED-08.
 */

import { create } from "@bufbuild/protobuf";

import {
  type RetryKeys,
  RetryKeysSchema,
  type RetryReceipt,
  RetryReceiptSchema,
} from "../gen/interop_api/v1/stanza_pb.js";
import { type Asked, messageName } from "../memory.js";
import { MAX_RETRIES } from "../protocol/sizes.js";
import {
  InvalidContent,
  type PreKeyBundle,
  type SignalError,
  type SignalState,
  UntrustedIdentity,
} from "../signal/index.js";
import type { ClientState } from "../state.js";

const FIRST_WITH_KEYS = 2;

/**
 * Says whether asking for a message again can help after an error.
 *
 * It cannot when the content is invalid, since it would be the same again, or when the user must first decide whether
 * to trust another identity key.
 */
export function canHelp(error: SignalError): boolean {
  return !(error instanceof InvalidContent || error instanceof UntrustedIdentity);
}

/** A message to ask for again. */
export interface Wanted {
  /** JID of the sender. */
  readonly sender: string;
  /** Id of the message. */
  readonly messageId: string;
  /** `retry_count` of the copy that came. */
  readonly cameWith: number;
  /** Why the message could not be opened, as `SignalError.retryReason`. */
  readonly reason?: number;
  /** The status of the blob's download, in a request for the blob; absent in a request for the message. */
  readonly mediaStatus?: number;
}

/**
 * Returns a request for a message, and counts it; undefined after the last allowed request. Save the state first.
 *
 * @param state Counts the request; changes.
 * @param wanted The message, and why.
 */
export function askAgain(state: ClientState, wanted: Wanted): RetryReceipt | undefined {
  const { sender, messageId, cameWith, reason = 0, mediaStatus } = wanted;
  const asked = state.deliveries.askAgain(messageName(sender, messageId), cameWith);
  state.signal.deleteOneTimePrekeys(state.deliveries.forgetOldestAsked());
  if (asked.count > MAX_RETRIES) {
    endAsking(state, sender, messageId);
    return undefined;
  }
  const receipt = create(RetryReceiptSchema, {
    toJid: sender,
    messageId,
    retryCount: asked.count,
    reason,
    registrationId: state.signal.registrationId,
  });
  if (mediaStatus !== undefined) {
    receipt.mediaStatus = mediaStatus;
  } else if (asked.count >= FIRST_WITH_KEYS) {
    receipt.keys = freshKeys(state.signal, asked);
  }
  return receipt;
}

/** Forgets the requests for a message, and deletes the prekeys made for them that the sender has not used. */
export function endAsking(state: ClientState, sender: string, messageId: string): void {
  state.signal.deleteOneTimePrekeys(state.deliveries.forgetAsked(messageName(sender, messageId)));
}

function freshKeys(signal: SignalState, asked: Asked): RetryKeys {
  const { identityKey, signedPrekey } = signal.publishable;
  const keys = create(RetryKeysSchema, {
    identityKey,
    signedPrekeyId: signedPrekey.keyId,
    signedPrekey: signedPrekey.publicKey,
    signedPrekeySignature: signedPrekey.signature,
  });
  for (const oneTime of signal.generateOneTimePrekeys(1)) {
    asked.prekeyIds.push(oneTime.keyId);
    keys.oneTimePrekeyId = oneTime.keyId;
    keys.oneTimePrekey = oneTime.publicKey;
  }
  return keys;
}

/** Returns the bundle in a retry receipt, not verified. */
export function bundleOf(registrationId: number, keys: RetryKeys): PreKeyBundle {
  return {
    registrationId,
    deviceId: 0,
    identityKey: keys.identityKey,
    signedPrekey: {
      keyId: keys.signedPrekeyId,
      publicKey: keys.signedPrekey,
      signature: keys.signedPrekeySignature,
    },
    oneTimePrekey: { keyId: keys.oneTimePrekeyId, publicKey: keys.oneTimePrekey },
    kemPrekey: undefined,
    kemWithdrawn: false,
  };
}
