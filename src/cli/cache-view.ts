/** Answers about the cache as text: of one replica as it is alone, of several with what each says. */
import type { CacheStatisticsView, LookupView, ReplicaStatistics, WarmUpView } from '../admin/caches.ts'
import { align } from './columns.ts'
import { printable } from './printable.ts'

type Item = LookupView['items'][number]
type Numbers = Omit<WarmUpView['replicas'][number], 'name' | 'state' | 'urls'>

export function statisticsText(view: CacheStatisticsView): string {
  const { limit, used, held, entries, stored, evicted, removed, replaced, refused, hitRatio, purges, replicas } = view
  const all = replicas.length + view.missing.length
  const rows = [
    ...(all > 1 ? [['replicas', `${replicas.length} of ${all}, of which this is the sum`]] : []),
    ['memory', `${mebibytes(used)} of ${mebibytes(limit)} MiB used, ${mebibytes(held)} MiB held for slow readers`],
    ['entries', `${entries}: ${stored} stored, ${evicted} evicted, ${removed} removed, ${replaced} replaced`],
    ['refused', `${refused}, for which memory had no room`],
    ['hits', `${percent(hitRatio)} of requests`],
    ...view.requests.map(({ result, reason, count }) => ['', `${count} ${result}: ${reason}`]),
    ...view.responses.map(({ reason, count }) => [reason === 'Stored' ? 'stored' : 'not stored', `${count} ${reason}`]),
    ['purges', purges.problem ?? `kept: ${purges.history}`],
  ]
  return table(rows) + (all > 1 ? `\n${table([STATISTICS, ...replicas.map(statisticsRow)])}` : '')
}

const STATISTICS = ['REPLICA', 'MEMORY', 'ENTRIES', 'STORED', 'EVICTED', 'REFUSED', 'REQUESTS', 'HITS', 'PURGES']

function statisticsRow(view: ReplicaStatistics & { readonly name: string }): string[] {
  const { name, used, limit, entries, stored, evicted, refused, requests, hitRatio, purges } = view
  const memory = `${mebibytes(used)} of ${mebibytes(limit)} MiB`
  const all = requests.reduce((sum, { count }) => sum + count, 0)
  const kept = purges.problem ?? `kept: ${purges.history}`
  return [name, memory, ...[entries, stored, evicted, refused, all].map(String), percent(hitRatio), kept]
}

/** @param several replicas were looked for */
export function lookupText({ items, complete, replicas, missing }: LookupView, several: boolean): string {
  if (items.length === 0)
    return several
      ? `Nothing is stored in the memory of ${printable(replicas.join(', ') || 'any replica')}.\n`
      : 'Nothing is stored in the memory of this replica.\n'
  if (!several) return table([[...OBJECT, 'KEY'], ...items.map((item) => [...objectRow(item), item.key])])
  const lacks = complete ? 'not stored' : 'not among those that are shown'
  const blocks = [...Map.groupBy(items, ({ key, keyDigest }) => `${key} ${keyDigest}`).values()].map((same) => {
    const rows = replicas.flatMap((replica) => {
      const own = same.filter((item) => item.replica === replica)
      if (own.length === 0) return [[`  ${replica}`, lacks]]
      return own.map((item) => [`  ${replica}`, ...objectRow(item), item.validator ?? '-'])
    })
    const silent = missing.map(({ name }) => [`  ${name}`, 'no answer'])
    return `${printable(same[0]!.key)}\n${table([['  REPLICA', ...OBJECT, 'VALIDATOR'], ...rows, ...silent])}`
  })
  return blocks.join('\n')
}

const OBJECT = ['STATE', 'STATUS', 'BYTES', 'AGE', 'LIFETIME', 'TAGS']

function objectRow({ state, status, bytes, age, lifetime, lifetimeBy, tags }: Item): string[] {
  return [state, `${status}`, `${bytes}`, `${age}s`, `${lifetime}s by ${lifetimeBy}`, `${tags}`]
}

export function warmUpText(view: WarmUpView): string {
  const { replicas } = view
  const each = replicas.length < 2 ? [] : replicas.map((one) => `  ${printable(one.name)}: ${numbersText(one)}\n`)
  return `${numbersText(view)}\n${each.join('')}`
}

function numbersText({ requested, hits, stored, others, failed }: Numbers): string {
  return `${requested} requested: ${stored} stored, ${hits} were there, ${others} not cached, ${failed} failed.`
}

const table = (rows: readonly (readonly string[])[]): string => align(rows.map((row) => row.map(printable)))
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)
const percent = (ratio: number): string => `${(ratio * 100).toFixed(1)} %`
