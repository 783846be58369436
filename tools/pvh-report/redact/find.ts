// What rules find in a text, value by value, and which parts of it are private. Knows nothing of stand-ins.
import { isIP } from 'node:net';
import type { Range } from './escapes.ts';
import type { Rule, ValueClass } from './rule.ts';
import { isPublicName, isSuffix } from './words.ts';

/** A part of what a rule found. */
export interface Piece extends Range {
  readonly class: ValueClass;
}

/** The labels of a host name or domain; the last one stays where it only says what kind it is. */
function labelsOf(name: string, start: number, first: ValueClass): Piece[] {
  if (isIP(name) !== 0 || isPublicName(name)) return [];
  const pieces: Piece[] = [];
  const labels = name.split('.');
  let at = start;
  for (const [index, label] of labels.entries()) {
    const isEnd = index === labels.length - 1;
    const stays =
      label === '' || (isEnd && index > 0 && isSuffix(label.toLowerCase())) || label === 'localhost';
    if (!stays) pieces.push({ class: index === 0 ? first : 'dns', start: at, end: at + label.length });
    at += label.length + 1;
  }
  return pieces;
}

function piecesOf(rule: Rule, value: string, start: number): Piece[] {
  if (rule.pieces)
    return [...value.matchAll(rule.pieces)].map((found) => ({
      class: rule.class,
      start: start + found.index,
      end: start + found.index + found[0].length,
    }));
  switch (rule.class) {
    case 'host':
    case 'dns':
      return labelsOf(value.replace(/[._-]{1,253}$/, ''), start, rule.class);
    case 'email': {
      const [at = ''] = /@|%40/.exec(value) ?? [];
      const [local = '', domain = ''] = value.split(at, 2);
      if (isPublicName(domain)) return [];
      const from = start + local.length;
      return [{ class: 'user', start, end: from }, ...labelsOf(domain, from + at.length, 'dns')];
    }
    case 'user': {
      const end = start + value.replace(/[._@+-]{1,64}$/, '').length;
      return end > start ? [{ class: 'user', start, end }] : [];
    }
    case 'secret': {
      const end = start + (value.replace(/[),.;\]}]{1,9}$/, '').length || value.length);
      return [{ class: 'secret', start, end }];
    }
    default:
      return [{ class: rule.class, start, end: start + value.length }];
  }
}

/** Lines that have the sign, with the line ends around them, and where they begin; everything where there is no sign. */
function* partsWith(sign: RegExp | undefined, view: string): Generator<{ text: string; from: number }> {
  if (sign === undefined) {
    yield { text: view, from: 0 };
    return;
  }
  let behind = 0;
  for (const { index } of view.matchAll(sign)) {
    if (index < behind) continue;
    const from = Math.max(0, view.lastIndexOf('\n', index));
    const end = view.indexOf('\n', index);
    behind = end < 0 ? view.length : end;
    yield { text: view.slice(from, behind + 1), from };
  }
}

/** What rules find in a view, in the order of the rules. A value of which a part has a stand-in already is none. */
export function* findByRules(
  { name, view }: { readonly name: string; readonly view: string },
  rules: readonly Rule[],
): Generator<{ rule: Rule; piece: Piece; value: string }> {
  for (const rule of rules) {
    if (rule.files && !rule.files.test(name)) continue;
    for (const { text, from } of partsWith(rule.sign, view))
      for (const found of text.matchAll(rule.pattern))
        for (const [group, range] of Object.entries(found.indices?.groups ?? {})) {
          const value = found.groups?.[group];
          if (range === undefined || value === undefined) continue;
          const start = from + range[0];
          if (rule.accept && !rule.accept(value, view.slice(Math.max(0, start - 100), start))) continue;
          for (const piece of piecesOf(rule, value, start))
            yield { rule, piece, value: view.slice(piece.start, piece.end) };
        }
  }
}
