/** A long conversation over a bad line: messages are late, lost and repeated, and the devices restart. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Ciphertext, DuplicateMessage } from "../../src/signal/index.js";
import { Pair, seeded } from "./support.js";

const MESSAGES = 1_000;
/** How many messages are under way at most. More chains than stay open would be under way with many more. */
const UNDER_WAY = 40;
/** How many messages one side sends in a row: with fewer, a message would be late by more than five chains. */
const IN_A_ROW = 25;

interface Sent {
  readonly to: "alice" | "bob";
  readonly text: string;
  readonly message: Ciphertext;
}

for (const seed of [1, 2, 3]) {
  test(`${MESSAGES} messages in random order, with losses and repeats: seed ${seed}`, () => {
    const random = seeded(seed);
    let pair = Pair.begun();
    const read = ({ to, message }: Sent) => (to === "bob" ? pair.bobReads(message) : pair.aliceReads(message));
    const underWay: Sent[] = [];
    const arrived: Sent[] = [];
    let [lost, repeated] = [0, 0];

    for (let number = 0; number < MESSAGES || underWay.length > 0; number += 1) {
      if (number < MESSAGES) {
        const to = Math.floor(number / IN_A_ROW) % 2 ? "alice" : "bob";
        const text = `message ${number}`;
        underWay.push({ to, text, message: to === "bob" ? pair.toBob(text) : pair.toAlice(text) });
      }
      while (underWay.length > (number < MESSAGES ? random(UNDER_WAY) : 0)) {
        const [next] = underWay.splice(random(underWay.length), 1);
        assert(next !== undefined);
        if (random(20) === 0) {
          lost += 1;
          continue;
        }
        assert.equal(read(next), next.text);
        arrived.push(next);
      }
      const again = arrived[random(Math.max(1, arrived.length))];
      if (again !== undefined && arrived.length - arrived.indexOf(again) < UNDER_WAY && random(4) === 0) {
        assert.throws(() => read(again), DuplicateMessage);
        repeated += 1;
      }
      if (random(50) === 0) {
        pair = pair.restored();
      }
    }
    assert.equal(arrived.length + lost, MESSAGES);
    assert(lost > 20 && repeated > 5, `${lost} lost, ${repeated} repeated`);
    pair.takeTurns(3);
  });
}
