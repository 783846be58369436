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

/** Text of the first such element; ours have no elements in them, and no names that need escaping. */
const element = (xml: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];

export class Bucket {
  /** As the user gave it, without a slash at the end. */
  readonly url: string;
  /** Tells it from others, of other servers too; 16 hex digits. */
  readonly id: string;
  readonly #client: AwsClient;
  /** URL of the bucket, without a slash at the end: not all servers read one as part of what was signed. */
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
   * @param env AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL(_S3).
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
    const endpoint =
      env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'] || `https://s3.${region}.amazonaws.com`;
    if (!/^https?:\/\/[^/@]+(\/|$)/.test(endpoint) || !URL.canParse(endpoint))
      throw failure(['AWS_ENDPOINT_URL: not of the form https://host']);
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
      `${endpoint.replace(/\/+$/, '')}/${bucket}`,
      folders.map((part) => `${part}/`).join(''),
    );
  }

  /** Of what lies directly behind the prefix. @param start of the names: of them there are few. @throws ToolFailure */
  async list(start: string): Promise<StoredObject[]> {
    const query = new URLSearchParams({ 'list-type': '2', prefix: this.#prefix + start, delimiter: '/' });
    const xml = new TextDecoder().decode(await this.#ask('GET', `?${query}`));
    if (element(xml, 'IsTruncated') === 'true')
      throw failure([`index ${this.url}: more than 1000 objects that begin with ${start}`]);
    return [...xml.matchAll(/<Contents>.*?<\/Contents>/gs)].map(([entry]) => ({
      name: element(entry, 'Key')?.replace(/^.*\//s, '') ?? '',
      bytes: Number(element(entry, 'Size')),
    }));
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
