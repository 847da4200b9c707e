/** Arguments of `headgate cache`. */
import { listenAddress, oneOf, type ParsedInput, UsageError, wholeNumber } from './flag-values.ts'
import type { ListenAddress } from './listen-address.ts'

interface CacheAccess {
  readonly name: 'cache'
  /** Of the admin API. */
  readonly admin: ListenAddress
  /** File with its token; absent: that of the environment. */
  readonly tokenFile?: string
  readonly output: 'text' | 'json'
}

interface OfReplica {
  /** One that is asked alone; absent: all of them. */
  readonly replica?: string
}

export interface CachePurgeCommand extends CacheAccess {
  readonly what: 'purge'
  readonly namespace?: string
  /** What the API gets. */
  readonly body: Readonly<Record<string, unknown>>
}

export interface CacheWarmCommand extends CacheAccess, OfReplica {
  readonly what: 'warm'
  readonly urls: readonly string[]
  /** One URL a line; `-` is standard input. */
  readonly file?: string
  readonly rate?: number
}

export interface CacheShowCommand extends CacheAccess, OfReplica {
  readonly what: 'show'
  readonly namespace?: string
  readonly body: CachePurgeCommand['body']
}

export interface CacheStatsCommand extends CacheAccess, OfReplica {
  readonly what: 'stats'
}

export type CacheCommand = CachePurgeCommand | CacheShowCommand | CacheStatsCommand | CacheWarmCommand

export const CACHE_FLAGS = {
  admin: { type: 'string' },
  'token-file': { type: 'string' },
  namespace: { type: 'string' },
  prefix: { type: 'boolean' },
  tag: { type: 'string' },
  route: { type: 'string' },
  rule: { type: 'string' },
  all: { type: 'boolean' },
  soft: { type: 'boolean' },
  file: { type: 'string' },
  rate: { type: 'string' },
  replica: { type: 'string' },
} as const

const ACCESS = ['admin', 'token-file', 'output']
/** Flags besides these are refused: one that has no effect would look as if it had. */
const OWN = {
  purge: [...ACCESS, 'namespace', 'prefix', 'tag', 'route', 'rule', 'all', 'soft'],
  show: [...ACCESS, 'namespace', 'prefix', 'tag', 'route', 'rule', 'all', 'replica'],
  stats: [...ACCESS, 'replica'],
  warm: [...ACCESS, 'file', 'rate', 'replica'],
} as const
type What = keyof typeof OWN
const WHAT = Object.keys(OWN) as What[]

/** @throws {UsageError} */
export function parseCache(input: ParsedInput): CacheCommand {
  const [what, ...urls] = input.rest
  if (!isOneOf(what)) throw new UsageError(`Say what to do: headgate cache ${WHAT.join(', or headgate cache ')}`)
  const own: readonly string[] = OWN[what]
  const foreign = Object.keys(input.values).find((flag) => !own.includes(flag))
  if (foreign !== undefined) throw new UsageError(`headgate cache ${what} has no flag --${foreign}.`)
  const { admin = '127.0.0.1:9901', 'token-file': tokenFile, file, rate, replica } = input.values
  const of = { ...(replica !== undefined && { replica }) }
  const access: CacheAccess = {
    name: 'cache',
    admin: listenAddress(admin, 'admin'),
    ...(tokenFile !== undefined && { tokenFile }),
    output: oneOf(input, 'output', ['text', 'json'], 'text'),
  }
  if (what === 'purge') return { ...access, what, ...namesOf(input, urls, what) }
  if (what === 'show') return { ...access, ...of, what, ...namesOf(input, urls, what) }
  if (what === 'stats') {
    if (urls.length > 0) throw new UsageError(`headgate cache stats takes no "${urls[0]}"; remove it.`)
    return { ...access, ...of, what }
  }
  if ((file === undefined) === (urls.length === 0))
    throw new UsageError('Name the URLs, or a file with one a line: headgate cache warm --file urls.txt')
  return {
    ...access,
    ...of,
    what,
    urls,
    ...(file !== undefined && { file }),
    ...(rate !== undefined && { rate: wholeNumber(input, 'rate', 1, 1, 1_000) }),
  }
}

function namesOf(
  { values }: ParsedInput,
  urls: readonly string[],
  what: 'purge' | 'show',
): Pick<CachePurgeCommand, 'namespace' | 'body'> {
  const { namespace, prefix, tag, route, rule, all, soft } = values
  if (prefix !== undefined && urls.length === 0) throw new UsageError('Name the prefix: --prefix URL')
  if (rule !== undefined && route === undefined)
    throw new UsageError('--rule needs --route: names of rules are its own.')
  const names = { ...(urls.length > 0 && { [prefix === undefined ? 'urls' : 'prefixes']: urls }) }
  const tags = tag?.split(/[, ]+/).filter((word) => word !== '')
  if (tags?.length === 0) throw new UsageError(`--tag ${tag}: name at least one tag.`)
  const chosen = {
    ...names,
    ...(tags !== undefined && { tags }),
    ...(route !== undefined && { route }),
    ...(all !== undefined && { all: true }),
  }
  if (Object.keys(chosen).length !== 1)
    throw new UsageError(`Say one thing to ${what}: a URL, --prefix with a URL, --tag, --route or --all.`)
  if (namespace === undefined && urls.length === 0)
    throw new UsageError('--namespace says whose objects: only a URL leads to them by its host.')
  return {
    ...(namespace !== undefined && { namespace }),
    body: { ...chosen, ...(rule !== undefined && { rule }), ...(soft !== undefined && { soft: true }) },
  }
}

function isOneOf(what: string | undefined): what is What {
  return (WHAT as readonly (string | undefined)[]).includes(what)
}
