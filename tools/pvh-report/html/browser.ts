// What the pages' script uses of a browser. The DOM's own types would be known in every room, so these few stand here.

export interface PageEvent {
  readonly target: PageElement;
  /** Of a mouse: from the inner edge of the target. */
  readonly offsetX: number;
  preventDefault(): void;
}

export interface KeyEvent extends PageEvent {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
}

interface Events {
  click: PageEvent;
  input: PageEvent;
  focus: PageEvent;
  keydown: KeyEvent;
  hashchange: PageEvent;
}

interface EventSource {
  addEventListener<K extends keyof Events>(kind: K, listener: (event: Events[K]) => void): void;
}

export interface PageElement extends EventSource {
  readonly id: string;
  readonly tagName: string;
  readonly firstChild: PageText | null;
  readonly parentElement: PageElement | null;
  readonly children: ArrayLike<PageElement> & Iterable<PageElement>;
  readonly clientHeight: number;
  readonly dataset: Record<string, string | undefined>;
  readonly classList: { add(name: string): void; remove(name: string): void };
  textContent: string;
  scrollTop: number;
  hidden: boolean;
  /** Of details. */
  open: boolean;
  /** Of an input. */
  value: string;
  closest(selector: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  getBoundingClientRect(): { readonly top: number; readonly height: number };
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  focus(options?: { preventScroll: boolean }): void;
  blur(): void;
  scrollIntoView(options: { block: 'start' | 'center' | 'nearest' }): void;
  select(): void;
  showModal(): void;
  close(): void;
}

export interface PageText {
  readonly length: number;
}

export interface PageRange {
  setStart(node: PageText, offset: number): void;
  setEnd(node: PageText, offset: number): void;
}

export interface PageDocument extends EventSource {
  readonly documentElement: PageElement;
  readonly activeElement: PageElement | null;
  getElementById(id: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  createRange(): PageRange;
}

export interface BrowserWindow extends EventSource {
  readonly document: PageDocument;
  readonly location: { hash: string };
  readonly CSS: { readonly highlights?: Map<string, unknown> };
  readonly Highlight?: new (...ranges: PageRange[]) => unknown;
  readonly IntersectionObserver: new (
    seen: (entries: readonly { readonly target: PageElement; readonly isIntersecting: boolean }[]) => void,
    options: { root: PageElement; rootMargin: string },
  ) => { observe(element: PageElement): void };
  matchMedia(query: string): { readonly matches: boolean };
  requestAnimationFrame(work: () => void): void;
  requestIdleCallback?(work: () => void): void;
}
