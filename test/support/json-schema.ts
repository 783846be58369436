// The published JSON Schemas as tests hold our own documents to them.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

const FOLDER = new URL('../../docs/schema/', import.meta.url);

/** A reader takes properties that a schema does not name, but what we write is to be written down. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const parts = Object.entries(schema).map(([name, part]) => [name, closed(part)] as const);
  return { ...('properties' in schema && { additionalProperties: false }), ...Object.fromEntries(parts) };
}

/** The schemas of docs/schema, by the names of their files. */
export class Schemas {
  readonly names: readonly string[];
  readonly #ajv: Ajv2020;

  constructor() {
    this.names = readdirSync(fileURLToPath(FOLDER)).map((file) => file.replace('.schema.json', ''));
    const schemas = this.names.map((name) =>
      closed(JSON.parse(readFileSync(new URL(`${name}.schema.json`, FOLDER), 'utf8'))),
    );
    this.#ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
    for (const [index, schema] of schemas.entries()) this.#ajv.addSchema(schema as object, this.names[index]);
  }

  /**
   * What is wrong with a value.
   * @param name of a schema, or of a part of one: `xl#list`.
   */
  violations(name: string, value: unknown): string[] {
    const [file = '', part] = name.split('#');
    const validate: ValidateFunction | undefined = this.#ajv.getSchema(
      part === undefined ? file : `${file}#/$defs/${part}`,
    );
    if (!validate) throw new Error(`no schema ${name}`);
    validate(value);
    return (validate.errors ?? []).map(({ instancePath, message, params }) =>
      [instancePath, message, JSON.stringify(params)].join(' '),
    );
  }
}
