/** Arguments of `headgate explain`. */
import type { ExplainBody } from '../admin/explanations.ts'
import { listenAddress, oneOf, type ParsedInput, UsageError } from './flag-values.ts'
import type { ListenAddress } from './listen-address.ts'

export interface ExplainCommand {
  readonly name: 'explain'
  /** What the API gets. */
  readonly body: ExplainBody
  /** Of the admin API. */
  readonly admin: ListenAddress
  /** File with its token; absent: that of the environment. */
  readonly tokenFile?: string
  readonly output: 'text' | 'json'
}

export const EXPLAIN_FLAGS = {
  admin: { type: 'string' },
  'token-file': { type: 'string' },
  request: { type: 'string', short: 'X' },
  header: { type: 'string', short: 'H', multiple: true },
  client: { type: 'string' },
  listener: { type: 'string' },
} as const

/** @throws {UsageError} */
export function parseExplain({ values, rest, lists }: ParsedInput): ExplainCommand {
  const [url, ...more] = rest
  if (url === undefined) throw new UsageError('Name the URL to explain: headgate explain https://shop.example/a')
  if (more.length > 0) throw new UsageError(`headgate explain takes one URL; remove "${more[0]}".`)
  const { admin = '127.0.0.1:9901', 'token-file': tokenFile, request, client, listener } = values
  const headers = (lists.header ?? []).map(headerOf)
  return {
    name: 'explain',
    body: {
      url,
      ...(request !== undefined && { method: request }),
      ...(headers.length > 0 && { headers }),
      ...(client !== undefined && { client }),
      ...(listener !== undefined && { listener }),
    },
    admin: listenAddress(admin, 'admin'),
    ...(tokenFile !== undefined && { tokenFile }),
    output: oneOf({ values }, 'output', ['text', 'json'], 'text'),
  }
}

/** `name: value`, as curl takes it. The value is not told, since it may be a credential. */
function headerOf(text: string): { readonly name: string; readonly value: string } {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(0, colon)).trim()
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new UsageError('-H takes a header as "name: value".')
  return { name, value: text.slice(colon + 1).trim() }
}
