/** Text from outside as a terminal may show it: what commands it, or changes how the rest is read, is escaped. */

// Controls, marks of direction and what is not seen, halves of characters, private and unassigned ones, line ends; not
// the joiners, which scripts and emoji need.
const UNFIT = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** Returns a text with all escaped, as `\x1b` or `\u202e`, that a terminal might obey or that ends a line. */
export function printable(text: string): string {
  return text.replace(UNFIT, escaped);
}

/** Returns a text of several lines with each as `printable` returns it; further lines are indented. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n    ");
}

function escaped(character: string): string {
  const number = character.codePointAt(0) ?? 0;
  const [mark, digits] = number <= 0xff ? ["x", 2] : number <= 0xffff ? ["u", 4] : ["U", 8];
  return `\\${mark}${number.toString(16).padStart(digits, "0")}`;
}
