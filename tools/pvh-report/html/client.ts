// The script of the pages: theme, keys, search. It runs in the browser only, where document.ts puts it as the build compiled it.
// Without it a page still shows everything.
import type { BrowserWindow, KeyEvent, PageElement, PageRange } from './browser.ts';

declare const window: BrowserWindow;

interface Search {
  step(by: number): void;
  open(): void;
}

/** Light or dark: what the system says, until the button is pressed. */
function setUpTheme(window: BrowserWindow): void {
  const { document } = window;
  const button = document.getElementById('theme');
  const root = document.documentElement;
  const isDark = () =>
    root.dataset['theme'] === undefined
      ? window.matchMedia('(prefers-color-scheme: dark)').matches
      : root.dataset['theme'] === 'dark';
  const show = () => button?.setAttribute('aria-pressed', String(isDark()));
  button?.addEventListener('click', () => {
    root.dataset['theme'] = isDark() ? 'light' : 'dark';
    show();
  });
  show();
}

/** The lines of the console, in lower case and in one text; where each begins in it. */
function readLines(box: PageElement): {
  items: PageElement[];
  starts: number[];
  text: string;
} {
  const items: PageElement[] = [];
  const starts: number[] = [];
  const texts: string[] = [];
  let end = 0;
  for (const item of box.querySelectorAll('li')) {
    const text = item.textContent.toLowerCase();
    items.push(item);
    starts.push(end);
    texts.push(text);
    end += text.length + 1;
  }
  return { items, starts, text: texts.join('\n') };
}

/** Indexes of the lines with `query` in them. */
function findLines(text: string, starts: readonly number[], query: string): number[] {
  const found: number[] = [];
  let line = 0;
  for (let at = text.indexOf(query); at >= 0; ) {
    while ((starts[line + 1] ?? Number.POSITIVE_INFINITY) <= at) line++;
    found.push(line);
    const next = starts[line + 1];
    if (next === undefined) break;
    at = text.indexOf(query, next);
  }
  return found;
}

/** Scrolls a box, not the page, so that `item` stands in its middle. Twice: what was not laid out has a guessed height. */
function scrollBox(window: BrowserWindow, box: PageElement, item: PageElement): void {
  const move = () => {
    const difference = item.getBoundingClientRect().top - box.getBoundingClientRect().top;
    box.scrollTop += difference - box.clientHeight / 2;
  };
  move();
  window.requestAnimationFrame(() => {
    move();
    window.requestAnimationFrame(move);
  });
}

/** Marks what was found in the pieces that are seen, where the browser can mark without changing the page. */
function makeMarker(window: BrowserWindow, box: PageElement): { show(query: string): void } {
  const { document, CSS, Highlight, IntersectionObserver } = window;
  const seen = new Set<PageElement>();
  let query = '';
  const mark = () => {
    if (CSS.highlights === undefined || Highlight === undefined) return;
    const ranges: PageRange[] = [];
    for (const piece of query === '' ? [] : seen)
      for (const item of piece.querySelectorAll('li')) {
        const text = item.textContent.toLowerCase();
        const node = item.firstChild;
        for (let at = text.indexOf(query); node && at >= 0; at = text.indexOf(query, at + query.length)) {
          if (at + query.length > node.length || ranges.length >= 5000) break;
          const range = document.createRange();
          range.setStart(node, at);
          range.setEnd(node, at + query.length);
          ranges.push(range);
        }
      }
    CSS.highlights.set('found', new Highlight(...ranges));
  };
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting) seen.add(target);
        else seen.delete(target);
      mark();
    },
    { root: box, rootMargin: '200px' },
  );
  for (const piece of box.children) observer.observe(piece);
  return {
    show(wanted) {
      query = wanted;
      mark();
    },
  };
}

/** Marks the one line that was gone to. */
function markCurrent({ document }: BrowserWindow, item: PageElement | undefined): void {
  for (const old of document.querySelectorAll('#console-lines .current')) old.classList.remove('current');
  item?.classList.add('current');
}

function setUpSearch(window: BrowserWindow): Search | undefined {
  const { document } = window;
  const box = document.getElementById('console-lines');
  const input = document.getElementById('search');
  const status = document.getElementById('search-status');
  if (!box || !input || !status) return undefined;
  const marker = makeMarker(window, box);
  let lines: ReturnType<typeof readLines> | undefined;
  let found: readonly number[] = [];
  let current = -1;
  const go = (to: number) => {
    current = to;
    const item = lines?.items[found[to] ?? -1];
    status.textContent =
      input.value === '' ? '' : found.length === 0 ? 'not found' : `${to + 1} of ${found.length} lines`;
    markCurrent(window, item);
    if (item) scrollBox(window, box, item);
  };
  const search = () => {
    lines ??= readLines(box);
    const query = input.value.toLowerCase();
    found = query === '' ? [] : findLines(lines.text, lines.starts, query);
    marker.show(query);
    go(found.length === 0 ? -1 : 0);
  };
  const step = (by: number) => {
    if (found.length > 0) go((current + by + found.length) % found.length);
  };
  const prepare = () => {
    lines ??= readLines(box);
  };
  // Before anybody asks, where the browser can tell when it has nothing else to do.
  window.requestIdleCallback?.(prepare);
  input.addEventListener('focus', prepare);
  input.addEventListener('input', search);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape') input.blur();
    else return;
    event.preventDefault();
  });
  document.getElementById('search-next')?.addEventListener('click', () => step(1));
  document.getElementById('search-previous')?.addEventListener('click', () => step(-1));
  return {
    step,
    open() {
      input.scrollIntoView({ block: 'nearest' });
      input.focus();
      input.select();
    },
  };
}

/** From one notable line of the console to the next. */
function makeWalker(window: BrowserWindow): (by: number) => void {
  const { document } = window;
  const box = document.getElementById('console-lines');
  const items = [...document.querySelectorAll('#console-lines .fatal, #console-lines .warning')];
  let at = -1;
  return (by) => {
    if (!box || items.length === 0) return;
    at = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1);
    const item = items[at];
    if (!item) return;
    markCurrent(window, item);
    box.scrollIntoView({ block: 'nearest' });
    scrollBox(window, box, item);
  };
}

/** From one section to the next or the one before. */
function walkSections({ document }: BrowserWindow, by: number): void {
  const sections = [...document.querySelectorAll('main > section')];
  // Sections stop 16 px below the edge (scroll-padding-top).
  const near = 24;
  const below = sections.findIndex((section) => section.getBoundingClientRect().top > near);
  const current = below < 0 ? sections.length - 1 : below - 1;
  const isAtTop = Math.abs(sections[current]?.getBoundingClientRect().top ?? near + 1) <= near;
  const to = sections[by > 0 ? current + 1 : isAtTop ? current - 1 : current];
  to?.scrollIntoView({ block: 'start' });
  to?.focus({ preventScroll: true });
}

function setUpKeys(window: BrowserWindow, search: Search | undefined): void {
  const { document } = window;
  const help = document.getElementById('help');
  const walk = makeWalker(window);
  const actions: Record<string, () => void> = {
    '/': () => search?.open(),
    n: () => search?.step(1),
    N: () => search?.step(-1),
    j: () => walk(1),
    k: () => walk(-1),
    ']': () => walkSections(window, 1),
    '[': () => walkSections(window, -1),
    '?': () => help?.showModal(),
  };
  document.addEventListener('keydown', (event: KeyEvent) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.tagName === 'INPUT' || event.target.closest('dialog')) return;
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.getElementById('help-button')?.addEventListener('click', () => help?.showModal());
  document.getElementById('help-close')?.addEventListener('click', () => help?.close());
}

/** A link to a line inside something folded opens it. */
function setUpLinks(window: BrowserWindow): void {
  const { document, location } = window;
  const box = document.getElementById('console-lines');
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let each = target; each; each = each.parentElement) if (each.tagName === 'DETAILS') each.open = true;
    if (target && box && target.closest('#console-lines')) {
      box.scrollIntoView({ block: 'nearest' });
      scrollBox(window, box, target);
    } else target?.scrollIntoView({ block: 'start' });
  };
  window.addEventListener('hashchange', open);
  // The number before a line is its link.
  box?.addEventListener('click', ({ target, offsetX }) => {
    if (target.tagName === 'LI' && offsetX < 0) location.hash = target.id;
  });
  for (const button of document.querySelectorAll('button[data-open]'))
    button.addEventListener('click', () => {
      const folds = [...document.querySelectorAll(`#${button.dataset['open']} details`)];
      const isOpen = folds.some((fold) => !fold.open);
      for (const fold of folds) fold.open = isOpen;
      button.setAttribute('aria-pressed', String(isOpen));
    });
  if (location.hash.length > 1) open();
  else {
    const start = document.getElementById(box?.dataset['start'] ?? '');
    if (box && start) scrollBox(window, box, start);
  }
}

function start(window: BrowserWindow): void {
  setUpTheme(window);
  setUpKeys(window, setUpSearch(window));
  setUpLinks(window);
}

start(window);
