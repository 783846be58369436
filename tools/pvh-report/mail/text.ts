// Texts of strangers as lines of a mail: nothing in them that steers a terminal, is too long for SMTP, or looks like a header,
// a patch or the end of a message.

const encoder = new TextEncoder();

export const byteLength = (text: string): number => encoder.encode(text).length;

/** SMTP's limit is 998 bytes (RFC 5321 4.5.3.1.6); of these at most four are one character. */
const MAX_LINE = 240;

/** Control characters and those that turn a line round become `?`. */
export const plain = (text: string): string =>
  text.replace(/\t/g, '        ').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '?');

/** Cuts between characters, never through one. */
export const cut = (text: string, length: number): string => {
  const characters = [...text.slice(0, 2 * length + 2)];
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : text;
};

/** Indented: no line of a guest begins with `From `, `---` or a lone dot. */
export const foreignLines = (text: string): string[] =>
  text
    .replace(/\r/g, '')
    .replace(/\n+$/, '')
    .split('\n')
    .map((line) => `  ${cut(plain(line), MAX_LINE)}`.trimEnd());

const bytesOf = (line: string): number => byteLength(line) + 1;

/** How many of the lines fit, beginning with the first. */
function fitting(lines: Iterable<string>, bytes: number): number {
  let [left, count] = [bytes, 0];
  for (const line of lines) {
    left -= bytesOf(line);
    if (left < 0) break;
    count++;
  }
  return count;
}

/** Room for the line that says what was left out. */
const NOTE_BYTES = 60;

const note = (count: number): string => `  [... ${count} line${count === 1 ? '' : 's'} left out ...]`;

/** The first or the last of the lines, no more than `bytes` of them. */
export function keep(which: 'first' | 'last', lines: readonly string[], bytes: number): string[] {
  if (fitting(lines, bytes) === lines.length) return [...lines];
  const room = bytes - NOTE_BYTES;
  if (which === 'first') {
    const count = fitting(lines, room);
    return [...lines.slice(0, count), note(lines.length - count)];
  }
  const count = fitting(lines.toReversed(), room);
  return [note(lines.length - count), ...lines.slice(lines.length - count)];
}

/** Words in lines of at most `width` columns. */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
    }
    line += line === '' || line === indent ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** RFC 2047: a header of letters that are not ASCII goes in words of at most 75 characters, 45 bytes each. */
export function headerText(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  const words: string[] = [];
  let word = '';
  for (const character of text) {
    if (byteLength(word + character) > 42) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  return [...words, word].map((each) => `=?UTF-8?B?${Buffer.from(each).toString('base64')}?=`).join('\n ');
}
