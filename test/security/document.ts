import { Ajv2020, type AnySchemaObject, type ValidateFunction } from 'ajv/dist/2020.js';

export interface Operation {
  parameters?: { name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: AnySchemaObject }[];
  requestBody?: { content: Record<string, { schema: AnySchemaObject }> };
  responses: Record<string, { content?: Record<string, { schema: AnySchemaObject }> }>;
}

export interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Checks responses against an OpenAPI document. */
export class Document {
  readonly openApi: OpenApi;
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(openApi: OpenApi) {
    this.openApi = openApi;
    this.#ajv.addSchema(openApi, 'openapi.json');
  }

  static async fetch(url: string): Promise<Document> {
    return new Document((await (await fetch(`${url}/openapi.json`)).json()) as OpenApi);
  }

  /** Says why a response of an operation violates the document; undefined if it does not. */
  findViolation(path: string, method: string, answer: Answer): string | undefined {
    const { status } = answer;
    const response = this.openApi.paths[path]![method]!.responses[status];
    if (!response) return `the status ${status} is not documented`;
    if (!response.content) return answer.body === '' ? undefined : 'no body is documented';
    const type = typeOf(answer);
    if (!(type in response.content)) return `the content type ${type} is not documented`;
    return this.#invalid(answer.body, 'paths', path, method, 'responses', String(status), 'content', type, 'schema');
  }

  /** Says why a refusal outside of any operation, such as of a malformed request, is not a problem document. */
  findRefusalViolation(answer: Answer): string | undefined {
    if (typeOf(answer) !== 'application/problem+json') return `its content type is ${typeOf(answer)}`;
    return this.#invalid(answer.body, 'components', 'schemas', 'Problem');
  }

  #invalid(body: string, ...path: string[]): string | undefined {
    const pointer = path.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = this.#validators.get(pointer) ?? this.#ajv.compile({ $ref: `openapi.json#/${pointer}` });
    this.#validators.set(pointer, validate);
    let value: unknown;
    try {
      value = JSON.parse(body);
    } catch {
      return 'the body is not JSON';
    }
    return validate(value) ? undefined : this.#ajv.errorsText(validate.errors, { dataVar: 'body' });
  }
}

function typeOf({ headers }: Answer): string {
  return String(headers['content-type'] ?? '').split(';')[0]!;
}
