// The part of an S3-compatible bucket that an index is in: what lies there, and one object at a time. Knows nothing of what
// the objects are.
import { createHash } from 'node:crypto';
import type { AwsClient } from 'aws4fetch';
import { cleanText } from '../../shared/clean-text.ts';
import { ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface StoredObject {
  /** Behind the prefix. */
  readonly name: string;
  readonly bytes: number;
}

/** For one object, however large. */
const TIMEOUT_MS = 600_000;
const RETRIES = 3;
const MAX_REASON = 300;
/** A page has up to 1000 objects. */
const MAX_PAGES = 1000;
/** A list of several pages may change so often while it is read. */
const MAX_ROUNDS = 10;

const S3_URL = /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(?<prefix>.*))?$/s;

export const isBucketUrl = (text: string): boolean => text.startsWith('s3://');

const failure = (lines: readonly string[], cause?: unknown): ToolFailure =>
  new ToolFailure([`pvh-report: ${lines[0]}`, ...lines.slice(1).map((line) => `  ${line}`)], EXIT.unusable, {
    cause,
  });

async function loadClient(): Promise<typeof import('aws4fetch')> {
  try {
    return await import('aws4fetch');
  } catch (cause) {
    throw failure(
      [
        'an index on object storage takes the optional package aws4fetch, which cannot be loaded',
        "run 'npm install aws4fetch'",
      ],
      cause,
    );
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Text of the first such element; ours have no elements in them. */
const element = (xml: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`)
    .exec(xml)?.[1]
    ?.replace(/&(?:#(\d{1,5})|(\w+));/g, (whole, code, entity) =>
      code === undefined ? (ENTITIES[entity] ?? whole) : String.fromCharCode(Number(code)),
    );

/**
 * URL of the bucket, without a slash at the end: not all servers read one as part of what was signed. Its name is part of the
 * host at Amazon, which calls the other style outdated, and of the path elsewhere, where hosts of that name are seldom set up:
 * so decide Amazon's own tools. A name with a dot fits no certificate.
 * @throws ToolFailure
 */
function urlOf(bucket: string, region: string, env: Env): string {
  const own = env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'];
  const endpoint = own || `https://s3.${region}.amazonaws.com`;
  if (!/^https?:\/\/[^/@]+(\/|$)/.test(endpoint) || !URL.canParse(endpoint))
    throw failure(['AWS_ENDPOINT_URL: not of the form https://host']);
  const style = env['AWS_S3_ADDRESSING_STYLE'] || 'auto';
  if (!['auto', 'path', 'virtual'].includes(style))
    throw failure([`AWS_S3_ADDRESSING_STYLE ${style}: not path, virtual or auto`]);
  const base = endpoint.replace(/\/+$/, '');
  if (style === 'path' || (style === 'auto' && (own || bucket.includes('.')))) return `${base}/${bucket}`;
  const virtual = base.replace('://', `://${bucket}.`);
  if (!URL.canParse(virtual))
    throw failure([`AWS_S3_ADDRESSING_STYLE virtual: no host can be called ${bucket}.${new URL(base).host}`]);
  return virtual;
}

export class Bucket {
  /** As the user gave it, without a slash at the end. */
  readonly url: string;
  /** Tells it from others, of other servers too; 16 hex digits. */
  readonly id: string;
  readonly #client: AwsClient;
  readonly #base: string;
  /** Of the keys: empty, or with a slash at the end. */
  readonly #prefix: string;

  private constructor(url: string, client: AwsClient, base: string, prefix: string) {
    this.url = url;
    this.#client = client;
    this.#base = base;
    this.#prefix = prefix;
    this.id = createHash('sha256').update(`${base}/${prefix}`).digest('hex').slice(0, 16);
  }

  /**
   * Asks nothing of the server yet.
   * @param env AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL(_S3),
   * AWS_S3_ADDRESSING_STYLE.
   * @throws ToolFailure that says what is missing.
   */
  static async open(url: string, env: Env): Promise<Bucket> {
    const { bucket, prefix = '' } = S3_URL.exec(url)?.groups ?? {};
    const folders = prefix.split('/').filter((part) => part !== '');
    if (bucket === undefined || folders.some((part) => /^\.\.?$/.test(part)))
      throw failure([`${url}: not of the form s3://bucket/prefix`]);
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = env;
    if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY)
      throw failure([`${url}: the environment lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY`]);
    const region = env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1';
    const base = urlOf(bucket, region, env);
    const { AwsClient } = await loadClient();
    const client = new AwsClient({
      accessKeyId: AWS_ACCESS_KEY_ID,
      secretAccessKey: AWS_SECRET_ACCESS_KEY,
      ...(AWS_SESSION_TOKEN && { sessionToken: AWS_SESSION_TOKEN }),
      service: 's3',
      region,
      retries: RETRIES,
    });
    return new Bucket(
      [`s3://${bucket}`, ...folders].join('/'),
      client,
      base,
      folders.map((part) => `${part}/`).join(''),
    );
  }

  /**
   * Of what lies directly behind the prefix. A list of several pages is read until it is the same twice: what others put while it
   * is read, instead of what they remove, could be on none of its pages.
   * @param start of the names. @throws ToolFailure
   */
  async list(start: string): Promise<StoredObject[]> {
    let before: string | undefined;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { objects, pages } = await this.#listOnce(start);
      const names = objects.map(({ name }) => name).join('\n');
      if (pages === 1 || names === before) return objects;
      before = names;
    }
    throw failure([`index ${this.url}: others change it faster than it can be listed: try again later`]);
  }

  async #listOnce(start: string): Promise<{ objects: StoredObject[]; pages: number }> {
    const query = new URLSearchParams({ 'list-type': '2', prefix: this.#prefix + start, delimiter: '/' });
    const objects: StoredObject[] = [];
    for (let pages = 1; pages <= MAX_PAGES; pages++) {
      const xml = new TextDecoder().decode(await this.#ask('GET', `?${query}`));
      for (const [entry] of xml.matchAll(/<Contents>.*?<\/Contents>/gs))
        objects.push({
          name: element(entry, 'Key')?.replace(/^.*\//s, '') ?? '',
          bytes: Number(element(entry, 'Size')),
        });
      if (element(xml, 'IsTruncated') !== 'true') return { objects, pages };
      const next = element(xml, 'NextContinuationToken');
      if (next === undefined)
        throw failure([`index ${this.url}: the server lists a part and not how to go on`]);
      query.set('continuation-token', next);
    }
    throw failure([
      `index ${this.url}: the server's list does not end (${objects.length} objects that begin with ${start})`,
    ]);
  }

  /** Nothing when it has gone. @throws ToolFailure */
  async get(name: string): Promise<Uint8Array | undefined> {
    return this.#ask('GET', this.#pathOf(name), undefined, 404);
  }

  /** It is there whole or not at all: the server compares it with its SHA-256. @throws ToolFailure */
  async put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#ask('PUT', this.#pathOf(name), bytes);
  }

  /** No matter if it has gone. @throws ToolFailure */
  async remove(name: string): Promise<void> {
    await this.#ask('DELETE', this.#pathOf(name), undefined, 404);
  }

  #pathOf(name: string): string {
    return `/${this.#prefix}${name}`.split('/').map(encodeURIComponent).join('/');
  }

  /** @param absent a status that is no failure, either. @returns what the server sent; nothing for `absent`. */
  async #ask(
    method: string,
    path: string,
    body?: Uint8Array<ArrayBuffer>,
    absent?: number,
  ): Promise<Uint8Array | undefined> {
    let response: Response;
    let sent: Uint8Array;
    try {
      response = await this.#client.fetch(`${this.#base}${path}`, {
        method,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          'X-Amz-Content-Sha256': createHash('sha256')
            .update(body ?? '')
            .digest('hex'),
        },
        ...(body && { body }),
      });
      sent = new Uint8Array(await response.arrayBuffer());
    } catch (cause) {
      const why =
        cause instanceof Error ? (cause.cause instanceof Error ? cause.cause : cause).message : String(cause);
      throw failure([`index ${this.url}: ${new URL(this.#base).host} does not answer: ${why}`], cause);
    }
    if (response.ok) return sent;
    if (response.status === absent) return undefined;
    const xml = new TextDecoder().decode(sent);
    const why = [response.status, element(xml, 'Code'), element(xml, 'Message')].filter(Boolean).join(' ');
    throw failure([
      `index ${this.url}: the server refuses to ${method}: ${cleanText(why).slice(0, MAX_REASON)}`,
    ]);
  }
}
