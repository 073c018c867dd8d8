// Says of a run of tests what failed, and how many passed: what `make test` shows of it.

import { inspect } from "node:util";

export default async function* report(events) {
  const began = performance.now();
  let [passed, failed, skipped] = [0, 0, 0];
  for await (const { type, data } of events) {
    if ((type !== "test:pass" && type !== "test:fail") || data.details?.type === "suite") {
      continue;
    }
    if (type === "test:fail") {
      failed += 1;
      yield `failed: ${data.name} (${data.file ?? "no file"}:${data.line ?? 0})\n${inspect(data.details.error)}\n\n`;
    } else if (data.skip === undefined) {
      passed += 1;
    } else {
      skipped += 1;
    }
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  yield `clients/node: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s\n`;
}
