/** Calls the admin API of a running gateway, and reads its lists page by page. */
import { formatAddress, type ListenAddress } from './listen-address.ts'

/** A message for the user. */
export class AdminError extends Error {}

const TIMEOUT = 10_000
/** What a page may take: a Backend of ten thousand endpoints has some two megabytes. */
const MAX_PAGE_BYTES = 256 * 1024 * 1024

export async function readList(address: ListenAddress, path: string): Promise<unknown[]> {
  const base = `http://${formatAddress({ address: '127.0.0.1', ...address })}`
  const items: unknown[] = []
  for (let offset: number | undefined = 0; offset !== undefined; ) {
    const page = await readPage(base, `${path}?offset=${offset}`)
    if (page.items.length === 0 && page.next !== undefined) throw new AdminError(`${base} does not come to an end`)
    items.push(...page.items)
    offset = page.next
  }
  return items
}

export interface AdminCall {
  /** It is a POST with this as JSON; absent: a GET. */
  readonly body?: unknown
  readonly token?: string
}

/** @throws {AdminError} where it is not done, with what the gateway says about it */
export async function callAdmin(
  address: ListenAddress,
  path: string,
  { body, token }: AdminCall = {},
): Promise<unknown> {
  const base = `http://${formatAddress({ address: '127.0.0.1', ...address })}`
  const response = await request(base, path, {
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  })
  const text = await bodyOf(response, base)
  const answer = parsed(text) as {
    readonly type?: unknown
    readonly title?: unknown
    readonly detail?: unknown
  } | null
  if (answer === null) throw new AdminError(`${base} is not the admin API of Headgate`)
  if (response.ok) return answer
  if (isOfTraffic(answer))
    throw new AdminError(
      `${base} is a listener for traffic, not the admin API; --admin says where that is (127.0.0.1:9901)`,
    )
  const said = [answer.title, answer.detail].filter((part) => typeof part === 'string').join(': ')
  throw new AdminError(said === '' ? `${base}${path} answers ${response.status}` : `${said} (${response.status})`)
}

/** Errors of the admin API have no type of their own. */
function isOfTraffic({ type }: { readonly type?: unknown }): boolean {
  return typeof type === 'string' && type.startsWith('https://headgate.dev/errors/')
}

interface Page {
  readonly items: unknown[]
  readonly next?: number
}

async function readPage(base: string, path: string): Promise<Page> {
  const response = await request(base, path)
  const text = await bodyOf(response, base)
  if (!response.ok) throw new AdminError(`${base}${path} answers ${response.status}: ${text.slice(0, 200)}`)
  const page = parsed(text)
  if (!Array.isArray(page?.items)) throw new AdminError(`${base} is not the admin API of Headgate`)
  return page as Page
}

async function request(base: string, path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(`${base}${path}`, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) })
  } catch (error) {
    throw new AdminError(
      `The admin API at ${base} cannot be reached (${causeOf(error)}). Is Headgate running? --admin says where.`,
    )
  }
}

async function bodyOf(response: Response, base: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > MAX_PAGE_BYTES) throw new AdminError(`${base} answers more than ${MAX_PAGE_BYTES >> 20} MiB`)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof AdminError) throw error
    throw new AdminError(`${base} ended its answer early (${causeOf(error)})`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(text: string): { readonly items?: unknown } | null {
  try {
    return JSON.parse(text) as { readonly items?: unknown } | null
  } catch {
    return null
  }
}

function causeOf(error: unknown): string {
  const { cause, message, name } = error as Error & { readonly cause?: { readonly code?: string; message?: string } }
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT / 1_000} s`
  return cause?.code ?? cause?.message ?? message
}
