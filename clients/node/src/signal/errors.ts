/**
 * The errors of a Signal session, one class for each decision of the caller; knows no transport.
 *
 * Each class carries `retryReason`, the code that a retry receipt names for it (`RetryReason` in stanza.proto). Zero
 * means that a retry would not help.
 */

/** A message cannot be encrypted or decrypted, or a session cannot be built. */
export abstract class SignalError extends Error {
  /** Reason code of a retry receipt; 0 when there is nothing to retry. */
  readonly retryReason: number = 0;

  override get name(): string {
    return this.constructor.name;
  }
}

/** There is no session with this party: take its prekey bundle, or ask it to send a prekey message. */
export class NoSession extends SignalError {
  override readonly retryReason = 1;
}

/** A public key has a wrong length or type, or no shared secret can be agreed with it. */
export class InvalidKey extends SignalError {
  override readonly retryReason = 2;
}

/** The other party's identity key is not the one known so far: ask the user, then accept or refuse it. */
export class UntrustedIdentity extends SignalError {
  override readonly retryReason = 2;

  /**
   * @param remote JID of the other party.
   * @param known The pinned identity key, 32 bytes.
   * @param presented The identity key presented now, 32 bytes.
   */
  constructor(
    readonly remote: string,
    readonly known: Uint8Array,
    readonly presented: Uint8Array,
  ) {
    super(`the identity key of ${remote} has changed`);
  }
}

/** A prekey message names a prekey that this device no longer holds: the sender must take a new bundle. */
export class InvalidKeyId extends SignalError {
  override readonly retryReason = 3;
}

/** The bytes are not a message of session version 3: ask for it again. */
export class InvalidMessage extends SignalError {
  override readonly retryReason = 4;
}

/** A bundle's signed prekey is not signed by its identity key: do not use the bundle. */
export class InvalidSignature extends SignalError {
  override readonly retryReason = 5;
}

/** A bundle lacks a KEM prekey, although the party has published some before: ask the user whether to go on. */
export class MissingKemPreKey extends SignalError {}

/** The message's counter is too far ahead of its chain: a new session is needed. */
export class TooFarInFuture extends SignalError {
  override readonly retryReason = 6;
}

/** The message belongs to a session of this device, but was altered in transit: ask for it again. */
export class BadMac extends SignalError {
  override readonly retryReason = 7;
}

/** No session here fits the message: its sender uses a lost one, or it was altered; begin a new session. */
export class InvalidSession extends SignalError {
  override readonly retryReason = 8;
}

/**
 * The message's key was used before.
 *
 * If it is the same delivery again, ack it and show nothing. Otherwise the sender has restored an old backup and used
 * the key twice: ask for the message again, under another key.
 */
export class DuplicateMessage extends SignalError {
  override readonly retryReason = 9;
}

/** The message is authentic, but its plaintext is not a valid content: sending it again would not help. */
export class InvalidContent extends SignalError {}

/** Third-party chats do not support this kind of content: do not send it (MSG-12). */
export class UnsupportedContent extends InvalidContent {}

/** The bytes are not a saved state that this release can read. */
export class InvalidSnapshot extends SignalError {}
