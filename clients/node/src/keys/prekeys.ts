/**
 * Publishes, refills, compares and renews an account's own prekeys; knows no message.
 *
 * Source: KEY-01 to KEY-04, KEY-09 to KEY-15.
 */

import { Lock, sleep } from "../asynchrony.js";
import type { Transport } from "../connection/transport.js";
import { type ConnectionEnded, ServerRefusal } from "../errors.js";
import {
  type CountOneTimePreKeysResponse,
  type GetKeyDigestResponse,
  PreKeyService,
} from "../gen/interop_api/v1/prekeys_pb.js";
import { keyDigest } from "../protocol/digest.js";
import { MAX_ONE_TIME_PREKEYS } from "../protocol/sizes.js";
import { KEY_TYPE } from "../protocol/xeddsaKeys.js";
import type { SignalState } from "../signal/index.js";
import type { ClientState, DurableState } from "../state.js";

/** How many one-time prekeys a client publishes at once by default. */
export const DEFAULT_PREKEYS = 100;
/** The client refills when the server has fewer one-time prekeys than this (KEY-09). */
export const LOW_PREKEYS = 10;
/** The wait before each retry of upkeep after a transient failure (KEY-13). */
export const RETRY_SECONDS = [0.5, 2, 8] as const;

const calls = PreKeyService.method;

/** One account's prekeys, in the client and on the server. */
export class OwnPreKeys {
  readonly #lock = new Lock();

  /**
   * @param transport Calls the server.
   * @param state Holds the private keys.
   * @param durable Saves them, always before the client publishes their public keys.
   * @param kemCount How many one-time KEM prekeys to publish too, with a last-resort one; 0 publishes none (KEY-15).
   */
  constructor(
    private readonly transport: Transport,
    private readonly state: ClientState,
    private readonly durable: DurableState,
    private readonly kemCount = 0,
  ) {}

  /**
   * Publishes identity, signed prekey and new one-time prekeys, which replace all those published before.
   *
   * @param count One-time prekeys, 0 to 20,000.
   * @throws RangeError The count is out of range; nothing was made.
   * @throws ServerRefusal The server refused them, or also those that the client made anew after code 406.
   */
  async publish(count: number): Promise<void> {
    checkCount(count, 0);
    return this.#lock.run(() => this.#publish(count));
  }

  /**
   * Adds new one-time prekeys to those published; publishes all keys anew when the server has their ids already.
   *
   * @param count 1 to 20,000.
   * @throws RangeError The count is out of range; nothing was made.
   * @throws ServerRefusal The server refused them.
   */
  async add(count: number): Promise<void> {
    checkCount(count, 1);
    return this.#lock.run(() => this.#add(count));
  }

  /** Ends those who wait until another has published: the connection ends. */
  endWaiting(end: ConnectionEnded): void {
    this.#lock.end(end);
  }

  /** Returns how many one-time prekeys of this account the server has left. */
  async count(): Promise<number> {
    return (await this.#counts()).count;
  }

  /**
   * Replaces the signed prekey (KEY-11). Until the server confirms, messages may use the old one or the new one.
   *
   * @throws ServerRefusal The server refused it: the current one stays, and the next call offers the same one again, or
   *   another one if the server called this one bad.
   */
  rotateSignedPrekey(): Promise<void> {
    return this.#lock.run(async () => {
      const signedPrekey = this.#signal.offerSignedPrekey();
      await this.durable.commit();
      try {
        await this.transport.call(calls.rotateSignedPreKey, { signedPrekey });
      } catch (error) {
        if (error instanceof ServerRefusal && error.recovery === "NEW_KEYS") {
          this.#signal.offeredSignedPrekey = undefined;
        }
        throw error;
      }
      this.#signal.rotateSignedPrekey();
      await this.durable.commit();
    });
  }

  /**
   * Says whether the server holds the same keys as this client (KEY-10).
   *
   * One-time prekeys that the server no longer holds do not count: a sender took them, and their messages may still
   * come.
   *
   * @throws ServerRefusal PREKEYS_NOT_SET.
   */
  async areIntact(): Promise<boolean> {
    const held = await this.transport.call(calls.getKeyDigest, {});
    const { registrationId, identityKey, signedPrekey } = this.#signal.publishable;
    const own = this.#signal.unusedOneTimePrekeys().filter((prekey) => held.oneTimePrekeyIds.includes(prekey.keyId));
    const digest = keyDigest(identityKey, signedPrekey.publicKey, signedPrekey.signature, own);
    return (
      held.registrationId === registrationId &&
      held.signedPrekeyId === signedPrekey.keyId &&
      Buffer.compare(held.digest, digest) === 0 &&
      this.#areKemIntact(held)
    );
  }

  /**
   * Adds one-time prekeys if the server still has few; retries like `patiently`.
   *
   * @throws ServerRefusal The server refused them.
   */
  refill(count: number, signal: AbortSignal): Promise<void> {
    return patiently(signal, () => this.#lock.run(() => this.#refill(count)));
  }

  /**
   * Compares the keys with the server's and publishes all anew if they differ (KEY-10); retries like `patiently`.
   *
   * @returns Whether they were the same.
   * @throws ServerRefusal The server refused the comparison or the new keys.
   */
  repair(count: number, signal: AbortSignal): Promise<boolean> {
    return patiently(signal, () => this.#lock.run(() => this.#repair(count)));
  }

  async #publish(count: number): Promise<void> {
    try {
      await this.#set(count);
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.recovery !== "NEW_KEYS") {
        throw error;
      }
      this.#signal.withdrawOneTimePrekeys();
      this.#signal.renewSignedKeys();
      await this.#set(count);
    }
  }

  async #set(count: number): Promise<void> {
    const keys = this.#signal.publishable;
    const oneTimePrekeys = count ? this.#signal.offerOneTimePrekeys(count) : [];
    const kemPrekeys = this.kemCount ? this.#newKemPrekeys(true) : undefined;
    await this.durable.commit(); // without a prekey's private key, the message that uses it is lost
    await this.transport.call(calls.setPreKeys, {
      registrationId: keys.registrationId,
      keyType: Uint8Array.of(KEY_TYPE),
      identityKey: keys.identityKey,
      signedPrekey: keys.signedPrekey,
      oneTimePrekeys,
      ...(kemPrekeys && { kemPrekeys }),
    });
    this.#signal.confirmedSignedPrekeyId = keys.signedPrekey.keyId;
    this.#signal.replaceOneTimePrekeys(oneTimePrekeys, this.state.deliveries.privatePrekeys());
    this.#signal.kem.keepOneTime((kemPrekeys?.oneTime ?? []).map((prekey) => prekey.keyId));
    await this.durable.commit();
  }

  async #add(count: number): Promise<void> {
    const oneTimePrekeys = this.#signal.offerOneTimePrekeys(count);
    await this.durable.commit();
    try {
      await this.transport.call(calls.addOneTimePreKeys, { oneTimePrekeys });
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.recovery !== "NEW_KEYS") {
        throw error;
      }
      // The server has some already: an answer was lost, or the state is an old one that lacks private keys.
      this.#signal.withdrawOneTimePrekeys();
      await this.#publish(count);
      return;
    }
    this.#signal.confirmOneTimePrekeys(oneTimePrekeys);
    await this.durable.commit();
  }

  async #addKem(): Promise<void> {
    const kemPrekeys = this.#newKemPrekeys(false);
    await this.durable.commit();
    await this.transport.call(calls.addKemPreKeys, { kemPrekeys });
  }

  #newKemPrekeys(withLastResort: boolean) {
    const oneTime = this.#signal.generateKemPrekeys(this.kemCount);
    return withLastResort ? { lastResort: this.#signal.kemLastResort(), oneTime } : { oneTime };
  }

  #areKemIntact(held: GetKeyDigestResponse): boolean {
    if (held.kemLastResortId === undefined && !this.kemCount) {
      return true;
    }
    return this.#signal.kem.holds(held.kemLastResortId, held.kemPrekeyIds);
  }

  async #refill(count: number): Promise<void> {
    // The application may have published prekeys after the server sent the notification.
    if (!this.#signal.hasGeneratedOneTimePrekeys) {
      return;
    }
    const left = await this.#counts();
    if (left.count < LOW_PREKEYS) {
      await this.#add(count);
    }
    // Without a last-resort prekey, the application has not published KEM prekeys yet, and must do it itself.
    if (this.kemCount && this.#signal.kem.lastResort !== undefined && left.kemCount < LOW_PREKEYS) {
      await this.#addKem();
    }
  }

  async #repair(count: number): Promise<boolean> {
    try {
      if (await this.areIntact()) {
        return true;
      }
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.reason !== "PREKEYS_NOT_SET") {
        throw error;
      }
    }
    await this.#publish(count);
    return false;
  }

  #counts(): Promise<CountOneTimePreKeysResponse> {
    return this.transport.call(calls.countOneTimePreKeys, {});
  }

  get #signal(): SignalState {
    return this.state.signal;
  }
}

/** Refuses a count that may come from anywhere, before offered prekeys are cut by it, or published ones replaced. */
function checkCount(count: number, least: number): void {
  if (!Number.isInteger(count) || count < least || count > MAX_ONE_TIME_PREKEYS) {
    throw new RangeError(`${count} is not ${least} to ${MAX_ONE_TIME_PREKEYS} prekeys`);
  }
}

/**
 * Does some work, and retries it after transient refusals with growing waits, as `RETRY_SECONDS` says (KEY-13).
 *
 * @throws ServerRefusal A refusal that is not transient, or the refusal of the last retry.
 */
async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (const seconds of RETRY_SECONDS) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.recovery !== "SAME_AGAIN") {
        throw error;
      }
      await sleep(Math.max(seconds, (error.retryAfterMs ?? 0) / 1000), signal);
    }
  }
  return work();
}
