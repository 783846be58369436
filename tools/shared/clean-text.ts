// Texts of a guest, of a file, of a server on their way to a terminal: nothing that steers it.

/** Control characters (C0, DEL, C1) but tabs become `?`, and so do those that turn the direction of writing (UAX #9 2). */
export const cleanText = (text: string): string =>
  text.replace(/[^\t\P{Cc}]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '?');

/** JSON escapes C0 itself; DEL and C1 it leaves as they are, and terminals obey some of these. */
export const cleanJson = (json: string): string =>
  json.replace(/[\x7f-\x9f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
