// What a stub says of its registers: the `reg` elements of its target description, in the order of the `g` packet.
// (Debugging with GDB, appendix "Target Descriptions".) The reader of the elements is our own: they need no entities, no name spaces
// and no nesting, and what a stranger sends is bounded here.
import { FormatError } from '../../symbols/errors.ts';

export interface RegisterPlace {
  readonly name: string;
  readonly number: number;
  readonly bits: number;
}

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
}

const MAX_TAG = 4096;
const MAX_REGISTERS = 4096;
const MAX_INCLUDES = 64;
const MAX_DEPTH = 8;
const MAX_BITS = 1 << 16;

/** Start tags and empty elements of a document. Everything else is passed over. @throws FormatError */
export function* xmlElements(text: string, source: string): Generator<XmlElement> {
  const endOf = (mark: string, from: number): number => {
    const end = text.indexOf(mark, from);
    if (end < 0) throw new FormatError(`no ${mark}`, { source, offset: from });
    return end;
  };
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    if (text.startsWith('<!--', at)) {
      at = endOf('-->', at);
      continue;
    }
    const end = endOf('>', at);
    if (end - at > MAX_TAG) throw new FormatError('tag too long', { source, offset: at });
    const [, name, rest = ''] = /^([\w:.-]+)(.*)$/s.exec(text.slice(at + 1, end)) ?? [];
    if (name !== undefined) {
      const pairs = rest.matchAll(/([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g);
      const attributes = [...pairs].map(
        ([, key = '', double, single]) => [key, double ?? single ?? ''] as const,
      );
      yield { name, attributes: new Map(attributes) };
    }
    at = end;
  }
}

/** A whole number as target descriptions and memory maps have it: decimal, or hexadecimal behind 0x. */
export function xmlNumber({ attributes }: XmlElement, key: string): number | undefined {
  const text = attributes.get(key);
  if (text === undefined || !/^(0x[0-9a-f]{1,16}|\d{1,16})$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * The registers that a stub describes, by ascending number.
 * @param read gives a document by its name; undefined when there is none.
 * @throws FormatError when documents are missing, too many, or no descriptions.
 */
export function readDescription(read: (annex: string) => string | undefined): readonly RegisterPlace[] {
  const registers: RegisterPlace[] = [];
  let includes = 0;
  const visit = (annex: string, depth: number): void => {
    const text = read(annex);
    if (text === undefined)
      throw new FormatError('the gdb stub gives no target description', { source: annex });
    for (const element of xmlElements(text, annex)) {
      if (element.name === 'xi:include') {
        const href = element.attributes.get('href') ?? '';
        if (!/^[\w.-]{1,255}$/.test(href) || ++includes > MAX_INCLUDES || depth === MAX_DEPTH)
          throw new FormatError(`includes ${JSON.stringify(href)}: too many, or no name`, { source: annex });
        visit(href, depth + 1);
      } else if (element.name === 'reg') {
        const name = element.attributes.get('name') ?? '';
        const number = xmlNumber(element, 'regnum') ?? (registers.at(-1)?.number ?? -1) + 1;
        const bits = xmlNumber(element, 'bitsize');
        if (bits === undefined || bits % 8 !== 0 || bits > MAX_BITS || registers.length === MAX_REGISTERS)
          throw new FormatError(`register ${JSON.stringify(name)} of ${bits} bits`, { source: annex });
        registers.push({ name, number, bits });
      }
    }
  };
  visit('target.xml', 0);
  return registers.sort((a, b) => a.number - b.number);
}
